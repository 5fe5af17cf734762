"""Cores, memory and disks."""

import os
import shutil
import tempfile
from pathlib import Path

import psutil

from mae_core.data.cache import cache_root
from pipelines.display import GIB
from pipelines.doctor.finding import Finding, Findings, ok, warning, wrong

MEMORY = 2 * GIB, 4 * GIB  # under the first it is wrong, under the second a warning
SHARED = GIB // 16, GIB
DISK = GIB, 5 * GIB
GROUPS, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
CACHED = ("active_file", "inactive_file")  # of a group's memory: the system takes it back


def check_cores() -> Findings:
    """The cores that may be used."""
    from joblib import cpu_count

    usable = cpu_count()
    found = f"{usable} of {os.cpu_count()} may be used"
    if usable > 1:
        yield ok("cores", found)
    else:
        yield warning("cores", found, "give the container or job two or more; one is slow")


def check_memory() -> Findings:
    """The memory that this process may still take."""
    free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    for limit, used in limits(GROUPS, CGROUPS):
        free, total = min(free, limit - used), min(total, limit)
    found = f"{in_gib(free)} of {in_gib(total)} free"
    yield graded("memory", found, free, MEMORY, "end other programs, or raise the limit")


def limits(groups: Path, root: Path) -> list[tuple[int, int]]:
    """Bytes of the limit and of the use, of each group of processes around this one.

    Args:
        groups: a line for each kind of group, `<number>:<kinds>:<place>`; see man 7 cgroups.
        root: where the groups are; of version 2, and of 1 in `memory`.
    """
    found = []
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, kinds, place = line.split(":", 2)
        if kinds == "":
            top, names = root, ("memory.max", "memory.current")
        elif "memory" in kinds.split(","):
            top, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        own = top / place.lstrip("/")
        for folder in (own, *own.parents):
            if not folder.is_relative_to(top):
                break
            try:
                limit, used = (int((folder / name).read_text()) for name in names)
                used -= cached(folder / "memory.stat")
            except (OSError, ValueError):  # no such group here, or no limit: 'max'
                continue
            found.append((limit, used))
    return found


def cached(statistics: Path) -> int:
    """Bytes of a group's memory that hold files; with the groups below it, `total_...`."""
    values = dict(line.split() for line in statistics.read_text().splitlines())
    return sum(int(values.get(f"total_{name}", values[name])) for name in CACHED)


def check_shared_memory(folder: Path = Path("/dev/shm")) -> Findings:
    """Where loaders' processes leave batches; in a container often 64 MB."""
    if folder.is_dir():
        free = shutil.disk_usage(folder).free
        todo = "start the container with `--shm-size=8g`, or set num_workers=0"
        yield graded("shared memory", f"{in_gib(free)} free in {folder}", free, SHARED, todo)


def check_disk() -> Findings:
    """The free space for what is written, a line for each disk."""
    disks: dict[int, list[str]] = {}
    free: dict[int, int] = {}
    for name, folder in written().items():
        place = existing(folder)
        disk = place.stat().st_dev
        disks.setdefault(disk, []).append(f"{name} {folder}")
        free[disk] = shutil.disk_usage(place).free
    for disk, names in disks.items():
        found = f"{in_gib(free[disk])} free for {', '.join(names)}"
        yield graded("disk", found, free[disk], DISK, "make room: `mae-bench clean` shows where")


def check_writable() -> Findings:
    """That what is written can be written."""
    faults = []
    for name, folder in written().items():
        if error := fault_of(existing(folder)):
            faults.append(f"{name} {folder}: {error}")
    if faults:
        todo = "change to another folder, or set XDG_CACHE_HOME or TMPDIR to one"
        yield wrong("folders", f"cannot be written: {'; '.join(faults)}", todo)
    else:
        yield ok("folders", f"{', '.join(written())} can be written")


def written() -> dict[str, Path]:
    """The folders that are written to, by what they are for."""
    return {
        "runs": Path("runs").absolute(),
        "cache": cache_root(),
        "temporary": Path(tempfile.gettempdir()),
    }


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def fault_of(folder: Path) -> str:
    """Why nothing can be written into a folder; '' if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def graded(name: str, found: str, free: int, bounds: tuple[int, int], todo: str) -> Finding:
    """Wrong or a warning if `free` is under the first or the second bound."""
    if free >= bounds[1]:
        return ok(name, found)
    return wrong(name, found, todo) if free < bounds[0] else warning(name, found, todo)


def in_gib(count: int) -> str:
    """Bytes as text."""
    return f"{count / GIB:,.1f} GiB"
