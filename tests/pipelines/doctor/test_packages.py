import sys
from importlib import metadata
from pathlib import Path

import pytest

from pipelines.doctor import packages
from pipelines.doctor.packages import check_opencv, check_packages, check_python, required
from tests.pipelines.doctor.conftest import only

PROJECT = """
[project]
name = "mae-bench"
requires-python = "{python}"
dependencies = [{lines}]
"""


def project(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *lines: str, python: str = ">=3"
) -> None:
    """Let the project require something else."""
    source = folder / "pyproject.toml"
    quoted = ", ".join(f'"{line}"' for line in lines)
    source.write_text(PROJECT.format(python=python, lines=quoted))
    monkeypatch.setattr(packages, "SOURCE", source)


def install(folder: Path, name: str, version: str) -> None:
    """What pip notes of an installed distribution."""
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_python_fits_what_the_project_requires(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert only(check_python()).mark == "ok"
    project(monkeypatch, tmp_path, python="<3")
    found = only(check_python())
    assert found.mark == "wrong" and found.found.endswith("where <3 is needed")


def test_each_package_that_is_missing_or_of_another_version_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = metadata.version("pytest")
    lines = ["pytest<1", "no-such-package>=2", "rich", "none; python_version < '3'"]
    project(monkeypatch, tmp_path, *lines)
    found = only(check_packages())
    expected = f"pytest {here} where <1 is needed; no-such-package is missing"
    assert (found.mark, found.found) == ("wrong", expected)
    project(monkeypatch, tmp_path, "rich", "pytest")
    assert only(check_packages()).found == "2 as required"


def test_without_its_source_what_was_installed_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(tmp_path, "mae-bench", "1.0")
    about = tmp_path / "mae_bench-1.0.dist-info" / "METADATA"
    lines = ("Requires-Python: >=3.9", "Requires-Dist: rich", 'Requires-Dist: a; extra == "test"')
    about.write_text(about.read_text() + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(packages, "SOURCE", tmp_path / "missing.toml")
    python, found = required()
    assert python == ">=3.9" and [str(one) for one in found] == ["rich"]


def test_two_versions_of_opencv_are_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert list(check_opencv()) == []
    install(tmp_path, "opencv-python-headless", "4.12.0.88")
    assert only(check_opencv()).found == "opencv-python-headless 4.12.0.88"
    install(tmp_path, "opencv-python", "4.9.0.80")
    found = only(check_opencv())
    told = (
        "opencv-python 4.9.0.80 and opencv-python-headless 4.12.0.88 overwrite each other's files"
    )
    assert (found.mark, found.found) == ("wrong", told)
    assert "pip uninstall opencv-python opencv-python-headless`" in found.todo


def test_an_opencv_that_cannot_be_imported_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in ("opencv-python", "opencv-python-headless"):
        install(tmp_path, name, "4.12.0.88")
    assert only(check_opencv()).mark == "ok"  # of one version, their files are the same
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    found = only(check_opencv())
    assert found.mark == "wrong" and "ImportError: libGL.so.1" in found.found
    assert "--force-reinstall --no-deps opencv-python-headless==4.12.0.88`" in found.todo
