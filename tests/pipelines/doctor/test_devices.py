import os
import sys
from pathlib import Path

import pytest

from pipelines.doctor import devices
from pipelines.doctor.devices import check_devices, check_operators
from pipelines.doctor.finding import Finding
from tests.pipelines.doctor.conftest import only


def with_torch(monkeypatch: pytest.MonkeyPatch, folder: Path, content: str) -> None:
    """Let processes that are started find another torch."""
    (folder / "torch.py").write_text(content)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ['PYTHONPATH']}")


def test_torch_gpus_and_operators_are_looked_at_in_turn() -> None:
    found = list(check_devices())
    assert list(dict.fromkeys(finding.name for finding in found)) == ["torch", "GPU", "operators"]
    assert found[0].mark == "ok" and ", built for C" in found[0].found
    assert found[-1].mark == "ok" and "NMS and RoIAlign run on the" in found[-1].found


@pytest.mark.parametrize(
    ("content", "seconds", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", 60, "looking at it crashed (SIGSEGV)"),
        ("import os; os._exit(3)", 60, "looking at it ended with code 3"),
        ("import time; time.sleep(600)", 1, "looking at it gave no answer within 1 s"),
        ("raise ImportError('libfoo.so: no such file')", 60, "libfoo.so: no such file"),
    ],
)
def test_a_torch_that_does_not_work_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, seconds: float, said: str
) -> None:
    with_torch(monkeypatch, tmp_path, content)
    assert only(check_devices(seconds)) == Finding("wrong", "torch", said, "run `make setup`")


def test_operators_that_cannot_be_imported_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmcv.ops", None)
    found = only(check_operators())
    assert found.mark == "wrong" and found.found.startswith("on the CPU: import of mmcv.ops halted")


def test_operators_that_are_wrong_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: str) -> str:
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr(devices, "run_operators", fail)
    assert only(check_operators()).found == "on the CPU: no kernel image"
