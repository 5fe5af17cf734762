"""The set-up's checks, which run before anything is downloaded, and its list of pins."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PINS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__*"))
    for name in ("constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def refuse(checkout: Path) -> Callable[..., str]:
    """Run a set-up that must stop at its checks: exit code 2 and nothing created."""

    def run(*command: str, **environment: str) -> str:
        before = set(checkout.rglob("*"))
        result = subprocess.run(
            command or ("scripts/setup.sh",),
            cwd=checkout,
            env=os.environ | {"PYTHON": sys.executable} | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 2, result
        assert set(checkout.rglob("*")) == before
        return result.stderr

    return run


def with_patch(patch: str) -> list[str]:
    """The set-up in a Python where something of the machine is different."""
    run = "import runpy; runpy.run_path('scripts/setup.py', run_name='__main__')"
    return [sys.executable, "-c", f"{patch}\n{run}"]


def test_no_python(refuse, tmp_path):
    message = refuse("/bin/sh", "scripts/setup.sh", PYTHON="", PATH=str(tmp_path))
    assert "Python 3.11 or 3.12 is needed" in message
    assert "apt install python3.11" in message


def test_wrong_python(refuse, tmp_path_factory):
    old = tmp_path_factory.mktemp("bin") / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    assert f"tried without success: {old}" in refuse(PYTHON=str(old))


def test_no_compiler(refuse):
    message = refuse(CXX="no-such-compiler -O2")
    assert "'no-such-compiler' is not on PATH" in message
    assert "apt install g++" in message


def test_no_headers(refuse):
    message = refuse(*with_patch("import sysconfig; sysconfig.get_path = lambda name: '/no/such'"))
    assert "/no/such/Python.h" in message
    assert "-dev" in message


def test_no_venv_module(refuse):
    patch = "import importlib.util as u; u.find_spec = lambda name: None"
    assert re.search(r"apt install python3\.\d+-venv", refuse(*with_patch(patch)))


def test_little_disk(refuse):
    patch = "import shutil; shutil.disk_usage = lambda p: shutil._ntuple_diskusage(0, 0, 10**9)"
    message = refuse(*with_patch(patch))
    assert "Too little disk" in message
    assert "1.0 GB free" in message


def test_all_problems_are_told_at_once(refuse):
    patch = "import sysconfig; sysconfig.get_path = lambda name: '/no/such'"
    message = refuse(*with_patch(patch), CXX="no-such-compiler")
    assert len(message.splitlines()) == 2


def test_constraints_are_exact_pins_and_name_no_index():
    assert not [pin for pin in PINS if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)]


def test_every_dependency_is_pinned_within_its_range():
    versions = {canonicalize_name(name): v for name, v in (pin.split("==") for pin in PINS)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["test"],
    ]
    for requirement in map(Requirement, listed):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier


def test_opencv_needs_no_libgl():
    assert [pin for pin in PINS if pin.startswith("opencv")] == [
        "opencv-python-headless==4.12.0.88"
    ]
