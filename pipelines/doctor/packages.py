"""Python and the installed packages, against what the project requires."""

import platform
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipelines.doctor.finding import Findings, ok, wrong

PROJECT = "mae-bench"
SOURCE = Path(__file__).parents[2] / "pyproject.toml"
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
SETUP = "run `make setup`"


def check_python() -> Findings:
    """The version of Python."""
    version, (wanted, _) = platform.python_version(), required()
    if SpecifierSet(wanted).contains(version, prereleases=True):
        yield ok("Python", version)
    else:
        yield wrong("Python", f"{version} where {wanted} is needed", f"{SETUP} with such a Python")


def check_packages() -> Findings:
    """Packages that are missing, or of a version that was not tried."""
    _, requirements = required()
    faults = [fault for fault in map(fault_of, requirements) if fault]
    if faults:
        yield wrong("packages", "; ".join(faults), SETUP)
    else:
        yield ok("packages", f"{len(requirements)} as required")


def check_opencv() -> Findings:
    """Distributions of OpenCV, which write into the same folder, and whether it can be imported.

    `pip install` of this package brings two of one version, as mmcv asks for opencv-python: the
    same files, but for the one that needs libGL.
    """
    found = {name: version for name in OPENCV if (version := version_of(name))}
    told = " and ".join(f"{name} {version}" for name, version in found.items())
    if len(set(found.values())) > 1:
        todo = f"`pip uninstall {' '.join(found)}`, then {SETUP}"
        yield wrong("OpenCV", f"{told} overwrite each other's files", todo)
    elif found:
        command = [sys.executable, "-c", "import cv2"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            headless = f"opencv-python-headless=={next(iter(found.values()))}"
            todo = f"`pip install --force-reinstall --no-deps {headless}`, which needs no libGL"
            yield wrong("OpenCV", f"{told}: {done.stderr.splitlines()[-1]}", todo)
        else:
            yield ok("OpenCV", told)


def required() -> tuple[str, list[Requirement]]:
    """The versions of Python, and the packages for this machine, without those of extras.

    They come from the source that runs, else from what was installed.

    Raises:
        PackageNotFoundError: if there is neither.
    """
    if SOURCE.is_file():
        project = tomllib.loads(SOURCE.read_text())["project"]
        python, lines = project["requires-python"], project["dependencies"]
    else:
        about = metadata.metadata(PROJECT)
        python, lines = about["Requires-Python"], metadata.requires(PROJECT) or []
    found = map(Requirement, lines)
    return python, [one for one in found if not one.marker or one.marker.evaluate({"extra": ""})]


def fault_of(requirement: Requirement) -> str:
    """What is wrong with a package; '' if nothing is."""
    version = version_of(requirement.name)
    if version is None:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} {version} where {requirement.specifier} is needed"


def version_of(package: str) -> str | None:
    """The installed version; None if there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
