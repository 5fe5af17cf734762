"""What can be removed in work dirs."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from pipelines.cells.folder import (
    BEFORE,
    BENCHMARK,
    FEATURES,
    JOB,
    LOCK,
    RECORD,
    STAGES,
    finished_result,
    locked_at_once,
    read_record,
    training_files,
)
from pipelines.clean.files import PARTS, files_in, folders_in, is_left, unlocked
from pipelines.clean.items import LEFT, Item, Kind, Say
from pipelines.tracking.moved import ARTIFACTS


def below(folder: Path) -> Iterator[Path]:
    """The work dirs below a folder."""
    for path in folders_in(folder):
        if is_work_dir(path):
            yield path
        elif path.name != ARTIFACTS:  # MLflow's, with thousands of folders
            yield from below(path)


def is_work_dir(folder: Path) -> bool:
    """Whether stages ran in the folder."""
    return (folder / STAGES).is_dir() or any(folder.glob(f"{BEFORE}*"))


def in_work_dir(folder: Path, say: Say) -> Iterator[Item]:
    """What could be removed; nobody works at an item while it is the current one.

    Args:
        folder: the work dir.
        say: told of what is in use.
    """
    with locked_at_once(folder / LOCK) as free:
        if not free:
            say(f"{folder} is in use, or may not be written: left alone")
            return
        for path in folders_in(folder):
            if path.name == STAGES:
                yield from in_stages(path, say)
            elif path.name.startswith(BEFORE):
                yield from set_aside(path, say)
            elif is_left(path):
                yield Item(Kind.TEMPORARY, folder, LEFT, path)


def in_stages(stages: Path, say: Say) -> Iterator[Item]:
    """What could be removed in the folder of all stages."""
    where, old = stages.parent, superseded(stages)
    for path in begun(stages):
        with locked_at_once(path / LOCK) as free:
            if not free:
                say(f"{path} is in use: left alone")
            elif path in old:
                yield Item(Kind.SUPERSEDED, where, path.name, path)
            else:
                yield from in_stage(path, where)
    for path in folders_in(stages):
        if is_left(path):
            yield Item(Kind.TEMPORARY, where, LEFT, path)
    for path in files_in(stages / FEATURES):
        key = path.name.partition(".")[0]
        if path.suffix == ".npz":
            with unlocked(path.with_name(f"{key}.lock")) as free:
                if free:
                    yield Item(Kind.CACHE, where, "features of frozen encoders", path)


def in_stage(folder: Path, where: Path) -> Iterator[Item]:
    """What could be removed in a stage's folder in which nobody works."""
    result = finished_result(folder)
    named = {Path(name) for name in result.files()} if result else set()
    for path in sorted(folder.rglob("*")):
        if (path.name.endswith(PARTS) or is_left(path)) and path not in named:
            yield Item(Kind.TEMPORARY, where, LEFT, path)
    if result is None:
        yield Item(Kind.UNFINISHED, where, folder.name, folder)
        return
    for path in training_files(folder, result):
        yield Item(Kind.CHECKPOINTS, where, "training states of finished stages", path)


def set_aside(stages: Path, say: Say) -> Iterator[Item]:
    """The stages that `--fresh` set aside, unless somebody works there."""
    with ExitStack() as locks:
        free = [locks.enter_context(locked_at_once(path / LOCK)) for path in begun(stages)]
        if all(free):
            yield Item(Kind.SUPERSEDED, stages.parent, stages.name, stages)
        else:
            say(f"{stages} is in use: left alone")


def superseded(stages: Path) -> set[Path]:
    """The finished stages in whose place the newest benchmark has others, if that is finished.

    They have the same stage and encoder. Of what the benchmark does not have nothing is known.
    """
    current = set(read_record(stages.parent / BENCHMARK).get("cells", {}).values())
    done = [path for path in begun(stages) if finished_result(path)]
    new = {path for path in done if read_record(path / RECORD).get("run_id") in current}
    replaced = {cell_of(path) for path in new}
    return {path for path in done if path not in new and cell_of(path) in replaced}


def cell_of(folder: Path) -> str:
    """'<stage>-<encoder>' from the name of a stage's folder, which ends with a hash."""
    return folder.name.rpartition("-")[0]


def begun(stages: Path) -> list[Path]:
    """The folders of stages that have run."""
    return [path for path in folders_in(stages) if (path / RECORD).is_file()]


def needed_files(work_dirs: Iterable[Path]) -> set[Path]:
    """The files that stages made or read which are not superseded."""
    needed: set[Path] = set()
    for folder in work_dirs:
        old = superseded(folder / STAGES)
        for stage in begun(folder / STAGES):
            if stage in old:
                continue
            needed.add(Path(read_record(stage / JOB).get("encoder", "")).resolve())
            if result := finished_result(stage):
                needed |= {Path(name).resolve() for name in result.files()}
    return needed


def is_needed(path: Path, needed: set[Path]) -> bool:
    """Whether a file, or one below a folder, is among `needed`."""
    place = path.resolve()
    return any(place == file or place in file.parents for file in needed)
