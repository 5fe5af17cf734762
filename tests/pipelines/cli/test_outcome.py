"""Exit codes, and the one message of whatever goes wrong."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mmengine.config import Config

from mae_core.errors import UserError, check_name
from pipelines import last_net, stages
from pipelines.cli.outcome import outcome
from pipelines.errors import BenchmarkFailed, StageFailed, StageInterrupted
from pipelines.last_net import check_writable, checking, disk_fault, write_details
from pipelines.stages import check_stage


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mae-bench" / "faults"


def ending(error: BaseException) -> tuple[int, str]:
    def call() -> None:
        raise error

    return outcome(call)


FULL, CLOSED = OSError(errno.ENOSPC, "full", "/x/y"), OSError(errno.EROFS, "closed", "/x/y")
ENDS = [
    (UserError("a [bold] key"), 2, "a \\[bold] key"),
    (StageFailed("no GPU"), 1, "no GPU"),
    (BenchmarkFailed("a cell"), 1, "a cell"),
    (StageInterrupted("x"), 75, "interrupted; run the same command again"),
    (KeyboardInterrupt(), 75, "interrupted; run the same command again"),
    (SystemExit(0), 0, ""),
    (SystemExit(2), 2, ""),
    (FULL, 2, "/x/y cannot be written (No space left on device): free space"),
    (CLOSED, 2, "/x/y cannot be opened or written"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/y"), 2, "/x/y: No such"),
    (MlflowException("database or disk is full"), 2, "cannot be written (No space left"),
    (MlflowException("attempt to write a readonly database"), 2, "cannot be opened or written"),
    (MlflowException("away"), 1, "a server or its store did not do its part"),
    (KeyError("x"), 1, "a fault of mae-bench, KeyError: 'x' (test_outcome.py:"),
    (MemoryError(), 1, "a fault of mae-bench, MemoryError"),
]


@pytest.mark.parametrize(("error", "code", "words"), ENDS, ids=lambda value: str(value)[:30])
def test_everything_ends_in_one_message_and_its_code(
    error: BaseException, code: int, words: str
) -> None:
    found, told = ending(error)
    assert found == code and words in told and "Traceback" not in told


def test_a_fault_of_ours_leaves_a_report_without_passwords(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hidden-1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:hidden-2@host/db")
    monkeypatch.setenv("MAE_BENCH_GRACE", "7")
    _, told = ending(ZeroDivisionError("a step"))
    (report,) = cache.iterdir()
    assert f"details are in {report}" in told
    assert report.stat().st_mode & 0o777 == 0o600
    text = report.read_text()
    assert "ZeroDivisionError: a step" in text and "in call" in text
    assert "MAE_BENCH_GRACE=7" in text and "torch==" in text and "hidden" not in text


def test_a_report_that_cannot_be_written_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise FULL

    monkeypatch.setattr(last_net.tempfile, "mkstemp", full)
    assert write_details(KeyError("x")) == ""


@settings(max_examples=50)
@given(st.sampled_from([KeyError, ValueError, TypeError, RecursionError, OSError]), st.text())
def test_whatever_a_check_raises_names_the_step_and_the_file(
    kind: type[Exception], text: str
) -> None:
    def check(*_: object) -> None:
        raise kind(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.importlib, "import_module", lambda _: SimpleNamespace(check=check))
        with pytest.raises(UserError, match=r"the check of supervise in mine\.py") as error:
            check_stage("supervise", Config({}, cfg_text="-", filename="mine.py"), "")
    assert kind.__name__ in str(error.value) and "\n" not in str(error.value)


def test_a_check_that_fails_is_told_with_details(cache: Path) -> None:
    def call() -> None:
        with checking("data check x.json"):
            raise AttributeError("'list' object has no attribute 'get'")

    code, told = outcome(call)
    assert code == 2 and "data check x.json met what it cannot read: AttributeError" in told
    (report,) = cache.iterdir()
    assert str(report) in told and "has no attribute 'get'" in report.read_text()


@pytest.mark.parametrize(
    "look", [lambda config: config.data.size, lambda config: config["data"]["size"]]
)
def test_a_key_that_a_config_has_not_is_named(look: Callable[[Config], object]) -> None:
    told = r"^x: the key 'size' is missing beside crop, path$"
    with pytest.raises(UserError, match=told), checking("x"):
        look(Config({"data": {"path": "a", "crop": 1}}))


@pytest.mark.parametrize("name", [b"caf\xe9.py", b"\xff\xfe"])
def test_a_name_that_is_no_utf8_is_one_message(name: bytes, tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/" + name, os.O_CREAT))
    for words in ([b"knn", name], [b"data", b"check", name], [b"run", b"demo", b"-o", name]):
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli.main", *words],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 2 and done.stdout == b""
        told = done.stderr.decode()
        assert "is no UTF-8" in told and "\\x" in told and len(told.splitlines()) == 1


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    check_name(text)


def test_what_a_terminal_cannot_encode_is_shown_in_another_way() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli.main", "run", "größe"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "gr\\xf6\\xdfe" in done.stderr


def test_a_folder_that_takes_no_files_is_told_before_any_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        check_writable(tmp_path / "file")
    with pytest.raises(UserError, match=r"/proc/x.* cannot be"):
        check_writable(Path("/proc/x"))


def test_a_full_disk_is_found_behind_other_errors() -> None:
    try:
        try:
            raise FULL
        except OSError:
            raise KeyError("x") from None
    except KeyError as error:
        assert "free space" in disk_fault(error)
    assert disk_fault(KeyError("x")) == ""
