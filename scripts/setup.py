"""Create .venv with every pinned package; `make setup` runs this through setup.sh.

What could fail is checked before anything is downloaded (exit code 2). Then come numbered steps,
with their full output in .venv-setup.log. A finished set-up is recognised by its stamp file and
returns at once; an interrupted one (exit code 75) continues with the step it was in.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
LOG = ROOT / ".venv-setup.log"
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / "setup.stamp"
INSTALLING = VENV / "setup.installing"  # there while pip writes into .venv
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
WHEELS = CACHE / "mae-bench" / "wheels"

# Measured on Linux x86-64, with a small margin.
VENV_GB = 7.0
TEMPORARY_GB = 2.2
CACHE_GB = 2.5

CHECK_OPS = """
import mmcv, torch
from mmcv.ops import nms
boxes = torch.tensor([[0., 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
_, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
assert kept.tolist() == [0, 2], f"mmcv.ops.nms kept boxes {kept.tolist()} instead of [0, 2]"
print(mmcv.__version__)
"""
# A GPU build of the operators needs nvcc as well as a GPU.
WHEEL_KEY = """
import os, sys, torch
from torch.utils.cpp_extension import CUDA_HOME
nvcc = CUDA_HOME and os.path.exists(os.path.join(CUDA_HOME, "bin", "nvcc"))
device = "cuda" if nvcc and torch.cuda.is_available() else "cpu"
print(f"torch-{torch.__version__}-cp{sys.version_info[0]}{sys.version_info[1]}-{device}")
"""


class StepError(Exception):
    pass


def fingerprint() -> str:
    inputs = [CONSTRAINTS, ROOT / "pyproject.toml", Path(__file__)]
    digest = hashlib.sha256(str(VENV).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_done() -> bool:
    return STAMP.exists() and STAMP.read_text() == fingerprint()


# ---- checks before anything is downloaded


def problems() -> Iterator[str]:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        yield (
            f"Python's venv and ensurepip are missing from {sys.executable}. "
            f"Debian, Ubuntu: apt install python{version}-venv"
        )
    compiler = shlex.split(os.environ.get("CXX") or "c++")[0]
    if not shutil.which(compiler):
        yield (
            f"No C++ compiler: '{compiler}' is not on PATH. onedl-mmcv is compiled here. "
            "Debian, Ubuntu: apt install g++; or set CXX to your compiler."
        )
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        yield (
            f"Python's headers are missing ({header}). "
            f"Debian, Ubuntu: apt install python{version}-dev"
        )
    yield from disk_problems(
        {
            ROOT: VENV_GB - disk_use_gb(VENV),
            Path(tempfile.gettempdir()): TEMPORARY_GB,
            Path(os.environ.get("PIP_CACHE_DIR") or CACHE): CACHE_GB,
        }
    )


def disk_problems(needs_gb: dict[Path, float]) -> Iterator[str]:
    """One message per file system that has too little room for all the folders on it."""
    by_device = defaultdict(list)
    for folder, need in needs_gb.items():
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        by_device[existing.stat().st_dev].append((existing, need))
    for folders in by_device.values():
        need = sum(need for _, need in folders)
        free = shutil.disk_usage(folders[0][0]).free / 1e9
        if free < need:
            names = ", ".join(f"{need:.1f} GB in {folder}" for folder, need in folders)
            yield (
                f"Too little disk: {need:.1f} GB needed, {free:.1f} GB free ({names}). "
                "Free some, or set TMPDIR and XDG_CACHE_HOME to folders on a larger disk."
            )


def disk_use_gb(folder: Path) -> float:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) / 1e9


# ---- running a command and showing how far it is


def progress_of(line: str) -> str | None:
    """What a line of output from ninja or pip says about progress, if anything."""
    if match := re.match(r"\s*\[(\d+/\d+)\] ", line):
        return f"[{match[1]}] files compiled"
    if match := re.match(r"(Collecting|Processing|  Downloading) (\S+)", line):
        return f"{match[1].strip().lower()} {match[2].rpartition('/')[2]}"
    if line.startswith("Installing collected packages"):
        return f"installing {line.count(',') + 1} packages"
    return None


class Progress:
    """A line that updates each second in a terminal, a plain line every 30 seconds elsewhere."""

    def __init__(self) -> None:
        self.status = "starting"
        self.start = self.shown = time.monotonic()

    def show(self) -> None:
        now = time.monotonic()
        text = f"      {clock(now - self.start)}  {self.status}"
        if sys.stdout.isatty():
            print(f"\r\033[K{text[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        elif now - self.shown >= 30:
            self.shown = now
            print(text, flush=True)

    def close(self) -> None:
        if sys.stdout.isatty():
            print("\r\033[K", end="", flush=True)


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def run(*command: str, **environment: str) -> None:
    """Run a command with its output in the log; raise StepError if it fails."""
    progress = Progress()

    def read(lines: Iterator[str]) -> None:
        for line in lines:
            log.write(line)
            log.flush()
            progress.status = progress_of(line) or progress.status

    with LOG.open("a") as log, tempfile.TemporaryDirectory(prefix="mae-bench-setup-") as scratch:
        log.write(f"\n$ {shlex.join(command)}\n")
        log.flush()
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"TMPDIR": scratch} | environment,
            start_new_session=True,
        )
        reader = threading.Thread(target=read, args=[process.stdout])
        reader.start()
        try:
            while reader.is_alive():
                reader.join(timeout=1)
                progress.show()
        finally:
            progress.close()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            reader.join()
    if process.returncode:
        raise StepError


def pip(*arguments: str, **environment: str) -> None:
    run(PYTHON, "-m", "pip", *arguments, PIP_DISABLE_PIP_VERSION_CHECK="1", **environment)


def install(*arguments: str) -> None:
    INSTALLING.touch()
    pip("install", "--constraint", str(CONSTRAINTS), *arguments)
    INSTALLING.unlink()


def output_of(script: str) -> str | None:
    """What a script prints last in .venv's Python, None if it fails."""
    result = subprocess.run([PYTHON, "-c", script], capture_output=True, text=True)
    return None if result.returncode else result.stdout.split("\n")[-2]


# ---- the steps


def create_venv() -> None:
    """Make .venv, or keep a sound one: not half-written, not moved, of this Python version."""
    config = VENV / "pyvenv.cfg"
    here = config.exists() and str(VENV) in config.read_text()
    version = str(sys.version_info[:2])
    same = here and output_of("import pip, sys; print(sys.version_info[:2])") == version
    if INSTALLING.exists() or not same:
        run(sys.executable, "-m", "venv", "--clear", str(VENV))


def install_torch() -> None:
    build_tools = ["setuptools", "wheel", "packaging", "ninja"]
    install(*build_tools, "numpy", "torch", "torchvision")


def install_mmcv() -> None:
    """Install onedl-mmcv compiled for exactly this torch.

    pip's own cache and index wheels do not say which torch they were built for, so neither is
    used; the wheel is kept in a folder that does.
    """
    [version] = re.findall(r"^onedl-mmcv==(\S+)", CONSTRAINTS.read_text(), re.MULTILINE)
    if output_of(CHECK_OPS) == version:
        return
    key = output_of(WHEEL_KEY)
    if key is None:
        raise StepError
    folder = WHEELS / key
    wheel = next(folder.glob(f"onedl_mmcv-{version}-*.whl"), None)
    if wheel:
        print(f"      compiled before: {wheel}")
    else:
        wheel = build_mmcv(version, folder)
    install("--no-deps", "--force-reinstall", str(wheel))


def build_mmcv(version: str, folder: Path) -> Path:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    jobs = max(1, min(len(os.sched_getaffinity(0)), int(memory_gb / 2)))
    environment = {"MAX_JOBS": os.environ.get("MAX_JOBS") or str(jobs)}
    if folder.name.endswith("-cpu"):
        environment |= {"CUDA_VISIBLE_DEVICES": "", "FORCE_CUDA": "0"}
    print(
        f"      compiling C++ with {environment['MAX_JOBS']} jobs: "
        "10 to 20 minutes on 2 cores, once for this machine",
        flush=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as building:
        from_source = ["--no-deps", "--no-build-isolation", "--no-cache-dir"]
        from_source += ["--no-binary", "onedl-mmcv"]
        target = ["--wheel-dir", building, f"onedl-mmcv=={version}"]
        pip("wheel", "--verbose", *from_source, *target, **environment)
        [wheel] = Path(building).glob("*.whl")
        return wheel.replace(folder / wheel.name)


def install_rest() -> None:
    # Without dependencies: the list is complete, and some packages ask for opencv-python, which
    # needs libGL, where we install opencv-python-headless.
    install("--no-deps", "--no-build-isolation", "--requirement", str(CONSTRAINTS))


def install_project() -> None:
    install("--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def check() -> None:
    run(PYTHON, "-c", CHECK_OPS)


STEPS = {
    "Create .venv": create_venv,
    "Install torch (about 2 GB to download)": install_torch,
    "Build onedl-mmcv": install_mmcv,
    "Install the other packages": install_rest,
    "Install MAE-Bench": install_project,
    "Check the compiled operators": check,
}


def run_steps() -> int:
    LOG.write_text("")
    for number, (title, step) in enumerate(STEPS.items(), 1):
        print(f"[{number}/{len(STEPS)}] {title}", flush=True)
        start = time.monotonic()
        try:
            step()
        except StepError:
            last_lines = "\n".join(LOG.read_text().splitlines()[-15:])
            print(
                f"{last_lines}\n\n"
                f"error: step {number} ({title}) failed; the lines above end its log, {LOG}. "
                "Run the same command again to continue with this step.",
                file=sys.stderr,
            )
            return 1
        print(f"      {clock(time.monotonic() - start)}  done", flush=True)
    STAMP.write_text(fingerprint())
    return 0


def main() -> int:
    if is_done():
        return 0
    if found := list(problems()):
        print("\n".join(f"error: {problem}" for problem in found), file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with LOG.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Waiting for another set-up in this folder.", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            return 0 if is_done() else run_steps()
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again to continue.", file=sys.stderr)
        return 75


if __name__ == "__main__":
    sys.exit(main())
