"""The wheel, installed elsewhere: its commands work in an empty folder, without the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.tiny import write_images

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SOURCES = ("configs", "mae_bench_configs", "mae_core", "downstream", "pipelines")
FILES = ("pyproject.toml", "LICENSE", "prefect.yaml")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves its files beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        if (ROOT / name).is_symlink():
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
        else:
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=unwanted)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder / "built", folder], check=True)
    (built,) = (folder / "built").glob("*.whl")
    return built


def without_checkout() -> dict[str, str]:
    """The environment, but for what other tests put there to find the checkout."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a fresh environment with the wheel; what it needs comes from the environment of the tests.

    A folder that a .pth file names may have such files of its own; they are not read. So an
    editable installation of the checkout is not seen.
    """
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    install = [*pip, "install", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, env=without_checkout())
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


@pytest.fixture
def run(bin_folder: Path, tmp_path: Path):
    """Run a command of the environment in an empty folder; what it printed."""
    environment = without_checkout() | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    (tmp_path / "empty").mkdir()

    def run(name: str, *arguments: str) -> str:
        done = subprocess.run(
            [bin_folder / name, *arguments],
            cwd=tmp_path / "empty",
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_all_of_it_is_there_and_nothing_comes_from_the_checkout(run, bin_folder: Path) -> None:
    script = (
        "import mae_core, downstream, pipelines; from pipelines.service.deploy import SHIPPED\n"
        "from mae_core.config import CONFIG_ROOT\n"
        "print(mae_core.__file__, downstream.__file__, pipelines.__file__, CONFIG_ROOT, SHIPPED)"
    )
    places = [Path(place) for place in run("python", "-c", script).split()]
    assert all(place.is_relative_to(bin_folder.parent) for place in places)
    *_, configs, prefect = places
    assert prefect.read_text() == (ROOT / "prefect.yaml").read_text()
    for path in (ROOT / "configs").rglob("*.py"):
        assert (configs / path.relative_to(ROOT / "configs")).read_text() == path.read_text()


def test_help(run) -> None:
    assert "pretrain" in run("mae-bench", "--help")


def test_the_demo_on_other_images_ends_in_a_report(run, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images")
    overrides = (
        "encoders=['random']",
        "tasks={'knn': 'knn/vit-micro-p6_k20_demo'}",
        f"knn.train_data.data={images}/train",
        f"knn.val_data.data={images}/val",
        "knn.k=3",
        "knn.more_k=()",
    )
    run("mae-bench", "run", "demo", *(word for text in overrides for word in ("-o", text)))
    report = tmp_path / "empty" / "runs" / "demo" / "report"
    assert "<html" in (report / "report.html").read_text()
    (row,) = json.loads((report / "report.json").read_text())["rows"]
    assert (row["task"], row["metric"]) == ("knn", "top1")
