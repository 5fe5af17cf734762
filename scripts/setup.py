"""Create .venv with every pinned package; `make setup` runs this through setup.sh.

What could fail is checked before anything is downloaded (exit code 2). Then come numbered steps,
with their full output in .venv-setup.log. A finished set-up is recognised by its stamp file and
returns at once; an interrupted one (exit code 75) goes on with what it has downloaded.

pip installs uv, and uv the rest: from the places that pip is set to use, several downloads at a
time, and unpacked once for all environments of the machine (see benchmarks/RESULTS.md).
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
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pip_settings import pip_settings, uv_environment, uv_options

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
LOG = ROOT / ".venv-setup.log"
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / "setup.stamp"
INSTALLING = VENV / "setup.installing"  # there while something is written into .venv
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
UV_CACHE = Path(os.environ.get("UV_CACHE_DIR") or CACHE / "uv")

# Measured on Linux x86-64, with a small margin. uv's cache holds the same files as .venv, by hard
# links where both are on one file system.
PACKAGES_GB = 7.8

# Importing them leaves their byte code, which uv does not: the first command starts at once. That
# of all packages would take three times the disk, and a minute more.
CHECK = """
import subprocess, sys
servers = "import mlflow.server, prefect.server.api.server"
beside = subprocess.Popen([sys.executable, "-c", servers])
import downstream.detection.stage, downstream.segmentation.stage
assert beside.wait() == 0
import pipelines.cli.main, pipelines.service.flow, pipelines.sweep.flow
import torch
from mmcv.ops import nms
boxes = torch.tensor([[0., 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
_, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
assert kept.tolist() == [0, 2], f"mmcv.ops.nms kept boxes {kept.tolist()} instead of [0, 2]"
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
    yield from disk_problems(needs_gb())


def needs_gb() -> dict[Path, float]:
    """What is yet to be written, by folder."""
    if existing(VENV).stat().st_dev == existing(UV_CACHE).stat().st_dev:
        return {VENV: PACKAGES_GB - disk_use_gb(VENV, UV_CACHE)}
    return {folder: PACKAGES_GB - disk_use_gb(folder) for folder in (VENV, UV_CACHE)}


def disk_problems(needs_gb: dict[Path, float]) -> Iterator[str]:
    """A message for each folder whose file system has too little room."""
    for folder, need in needs_gb.items():
        free = shutil.disk_usage(existing(folder)).free / 1e9
        if free < need:
            yield (
                f"Too little disk for {folder}: {need:.1f} GB needed, {free:.1f} GB free. "
                "Free some, or set UV_CACHE_DIR to a folder on a larger disk."
            )


def existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def disk_use_gb(*folders: Path) -> float:
    """What the files take; one that lies in several places by hard links is counted once."""
    sizes = {}
    for folder in folders:
        for path in folder.rglob("*"):
            status = path.lstat()
            sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(sizes.values()) / 1e9


# ---- running a command and showing how far it is


class Progress:
    """A line that updates each second in a terminal, a plain line every 30 seconds elsewhere."""

    def __init__(self) -> None:
        self.status = "under way"
        self.start = self.shown = time.monotonic()
        self.begun = self.ended = 0

    def read(self, line: str) -> None:
        """Take in what a line of uv's output says: it names each large file twice."""
        if re.match(r"\s*(Downloading|Building) ", line):
            self.begun += 1
        elif re.match(r"\s*(Downloaded|Built) ", line):
            self.ended += 1
        else:
            return
        self.status = f"{self.ended} of {self.begun} large files are there; {line.strip()}"

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
            progress.read(line)

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


def pip(*arguments: str) -> None:
    run(PYTHON, "-m", "pip", *arguments, PIP_DISABLE_PIP_VERSION_CHECK="1")


def uv(*arguments: str) -> None:
    """Install what is named, and nothing that it asks for."""
    settings = pip_settings(PYTHON)
    command = [str(VENV / "bin" / "uv"), "pip", "install", "--python", PYTHON, "--no-deps"]
    command += ["--build-constraints", str(CONSTRAINTS), *uv_options(settings)]
    INSTALLING.touch()
    run(*command, *arguments, **uv_environment(settings))
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


def install_uv() -> None:
    pip("install", "--constraint", str(CONSTRAINTS), "uv")


def install_packages() -> None:
    """Install all pins, without what they ask for: the list is complete.

    Some ask for opencv-python, which needs libGL, where we install opencv-python-headless.

    onedl-mmcv is made here from its source, in an environment without torch, where it leaves its
    C++ out. Wheels of others are compiled for a torch that they do not name, and so may be one
    that an earlier set-up left in .venv.
    """
    mmcv = ["--no-binary", "onedl-mmcv", "--reinstall-package", "onedl-mmcv"]
    uv(*mmcv, "--requirement", str(CONSTRAINTS))


def install_project() -> None:
    uv("--editable", str(ROOT))


def check() -> None:
    run(PYTHON, "-c", CHECK, PYTHONDONTWRITEBYTECODE="")


STEPS = {
    "Create .venv": create_venv,
    "Install uv": install_uv,
    "Install the packages (about 3 GB to download)": install_packages,
    "Install MAE-Bench": install_project,
    "Check imports and operators": check,
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
