"""The set-up's checks, which run before anything is downloaded, and its list of pins."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
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
    return [sys.executable, "-B", "-c", f"import sys; sys.path[0] = 'scripts'\n{patch}\n{run}"]


def test_no_python(refuse, tmp_path):
    message = refuse("/bin/sh", "scripts/setup.sh", PYTHON="", PATH=str(tmp_path))
    assert "Python 3.11, 3.12 or 3.13 is needed" in message
    assert "apt install python3.11" in message


def test_wrong_python(refuse, tmp_path_factory):
    old = tmp_path_factory.mktemp("bin") / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    assert f"tried without success: {old}" in refuse(PYTHON=str(old))


NO_VENV = "import importlib.util as u; u.find_spec = lambda name: None"
FULL = "import shutil; shutil.disk_usage = lambda p: shutil._ntuple_diskusage(0, 0, 10**9)"


def test_no_venv_module(refuse):
    assert re.search(r"apt install python3\.\d+-venv", refuse(*with_patch(NO_VENV)))


def test_little_disk(refuse, tmp_path):
    message = refuse(*with_patch(FULL), UV_CACHE_DIR=str(tmp_path / "cache"))
    assert f"Too little disk for {tmp_path / '.venv'}" in message
    assert "1.0 GB free" in message


def test_all_problems_are_told_at_once(refuse, tmp_path):
    patch = f"{NO_VENV}\n{FULL}"
    message = refuse(*with_patch(patch), UV_CACHE_DIR=str(tmp_path / "cache"))
    assert len(message.splitlines()) == 2


def test_packages_that_the_cache_shares_by_links_take_no_disk_twice(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    disk_use_gb = runpy.run_path(str(ROOT / "scripts" / "setup.py"))["disk_use_gb"]
    for name in (".venv", "cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "cache" / "file").write_bytes(bytes(1_000_000))
    os.link(tmp_path / "cache" / "file", tmp_path / ".venv" / "file")
    assert disk_use_gb(tmp_path) == pytest.approx(1e-3, rel=0.1)


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


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_the_list_is_complete(python):
    """They are installed without dependencies: what one asks for must be in the list."""
    versions = {canonicalize_name(name): v for name, v in (pin.split("==") for pin in PINS)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    asked = [Requirement(text) for listed in (project["dependencies"], *extras) for text in listed]
    seen, missing = set(), set()
    while asked:
        requirement = asked.pop()
        name = canonicalize_name(requirement.name)
        if name not in versions or versions[name] not in requirement.specifier:
            missing.add(name)
        elif (name, *requirement.extras) not in seen:
            seen.add((name, *requirement.extras))
            asked += requirements(name, requirement.extras, python)
    # The first needs libGL, the others are for corrupted images, which nothing here makes.
    assert missing == {"opencv-python", "imagecorruptions-imaug"}


def requirements(name: str, extras: set[str], python: str) -> Iterator[Requirement]:
    """What the installed package asks for in that Python."""
    place = {"python_version": python.rpartition(".")[0], "python_full_version": python}
    for requirement in map(Requirement, distribution(name).requires or []):
        marker = requirement.marker
        if not marker or any(marker.evaluate({**place, "extra": e}) for e in {"", *extras}):
            yield requirement


def test_opencv_needs_no_libgl():
    assert [pin for pin in PINS if pin.startswith("opencv")] == [
        "opencv-python-headless==4.12.0.88"
    ]
