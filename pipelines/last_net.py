"""What becomes of an exception that nothing expected: one message, and all detail in a file."""

import errno
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path

from mae_core.data.cache import cache_root
from mae_core.errors import UserError
from pipelines.environment import SECRET

FOLDER = "faults"  # in the cache
FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
# Of a path that a command or config named: the user's to mend.
OF_PATHS = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT)
SQLITE = {"disk is full": FULL[0], "readonly database": CLOSED[0], "disk I/O error": FULL[0]}
# Text that follows from these is of the services' passwords, never to be in a report of a fault.
PRIVATE = (*SECRET, "URI", "URL")


class CheckFailed(UserError):
    """A check met what it did not foresee in its input; the cause is `__cause__`."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it came from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def disk_fault(error: BaseException) -> str:
    """What to tell the user if the error is of a disk that is full or cannot be written, else ''.

    SQLite's own errors count too.
    """
    for one in causes(error):
        number = one.errno if isinstance(one, OSError) else None
        for words, means in SQLITE.items():
            if words in str(one):
                number = means
        name = getattr(one, "filename", None) or "a file"
        if number in FULL:
            return (
                f"{name} cannot be written ({os.strerror(number)}): free space, then run the same "
                "command again; what is finished is kept"
            )
        if number in CLOSED:
            return (
                f"{name} cannot be opened or written ({os.strerror(number)}): change its "
                "permissions, or choose another place with --work-dir, and MLFLOW_TRACKING_URI "
                "for MLflow's database"
            )
    return ""


def path_fault(error: BaseException) -> str:
    """What to tell the user if the error is of a path that is not as it should be, else ''."""
    if isinstance(error, OSError) and error.errno in OF_PATHS and error.filename:
        return f"{error.filename}: {error.strerror}"
    return ""


def key_fault(error: BaseException) -> str:
    """What to tell the user if the error is of a key that a config has not, else ''."""
    from mmengine.config import ConfigDict  # not for --help

    name, place = getattr(error, "name", ""), getattr(error, "obj", None)
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if frame.f_code is ConfigDict.__missing__.__code__:  # a KeyError, which does not say of what
        name, place = error.args[0], frame.f_locals["self"]
    if isinstance(place, ConfigDict):
        return f"the key {name!r} is missing beside {', '.join(sorted(place))}"
    return ""


@contextmanager
def checking(step: str) -> Iterator[None]:
    """Make whatever a check raises in the block a UserError that names the step and its file.

    Args:
        step: such as 'the check of knn in knn.py'.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if told := disk_fault(error) or path_fault(error) or key_fault(error):
            raise UserError(f"{step}: {told}") from error
        raise CheckFailed(
            f"{step} met what it cannot read: {in_a_line(error)} ({where(error)}). Look at the "
            "files that it names"
        ) from error


def check_writable(folder: Path) -> None:
    """Raise UserError unless a folder, which is made, takes files: before work that needs it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(1 << 16))
            probe.flush()
    except OSError as error:
        what = disk_fault(error) or f"{folder} cannot be written ({error.strerror})"
        raise UserError(what.replace(str(error.filename or "a file"), str(folder), 1)) from error


def where(error: BaseException) -> str:
    """The innermost line of our own code that the error passed, such as 'cell.py:12, in run'."""
    frames = traceback.extract_tb(error.__traceback__)
    root = str(Path(__file__).parents[1])
    ours = [f for f in frames if f.filename.startswith(root) and "site-packages" not in f.filename]
    if not (ours or frames):
        return "?"
    frame = (ours or list(frames))[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}, in {frame.name}"


def in_a_line(error: BaseException) -> str:
    """An error's kind and the first line of its message."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def write_details(error: BaseException) -> str:
    """Write what a report of the fault needs, readable by the user alone; ', see <path>' or ''."""
    text = "".join(
        [
            f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}\n",
            f"command: {sys.argv!r}\nfolder: {os.getcwd()}\n",
            f"Python {sys.version}\n{platform.platform()}\n\n",
            *traceback.format_exception(error),
            "\nvariables:\n",
            *(f"{key}={value}\n" for key, value in sorted(variables().items())),
            "\npackages:\n",
            *sorted({f"{d.name}=={d.version}\n" for d in distributions()}),
        ]
    )
    for folder in (cache_root() / FOLDER, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(".txt", time.strftime("%Y%m%d-%H%M%S-"), folder)
            with open(handle, "w", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            continue
        return f"; details are in {name}"
    return ""


def variables() -> dict[str, str]:
    """The variables of ours and of our services, without those that may hold a password."""
    ours = ("MAE_BENCH_", "MLFLOW_", "PREFECT_", "CUDA_", "OMP_", "LC_", "LANG", "PYTHON")
    return {
        key: value
        for key, value in os.environ.items()
        if key.startswith(ours) and not any(word in key for word in PRIVATE)
    }
