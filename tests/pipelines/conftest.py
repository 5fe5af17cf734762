import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mlflow import MlflowClient
from prefect.testing.utilities import prefect_test_harness

from pipelines.cells.run_cell import Setting
from pipelines.cli.main import ENVIRONMENT
from pipelines.display import Display
from pipelines.service.flow import mae_full_benchmark
from pipelines.tracking.tracker import Tracker
from tests.tiny import write_configs, write_images, write_recipe

ROOT = Path(__file__).parents[2]
os.environ.update(ENVIRONMENT)


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """Stages' processes find `tests.faults` from any current folder, and compute on one thread."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("MAE_BENCH_GRACE", "3")
        yield


@pytest.fixture(scope="session")
def prefect() -> Iterator[None]:
    with prefect_test_harness(300):  # seconds that its server may take on a busy machine
        yield


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five classes; a pretraining epoch has 8 steps."""
    return write_images(tmp_path_factory.mktemp("images"), classes=5, train=7)


@pytest.fixture
def configs(tmp_path: Path, images: Path) -> Path:
    return write_configs(tmp_path / "configs", images)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables without content; making them takes seconds."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracker(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    path = shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    monkeypatch.chdir(tmp_path)
    return Tracker()


class Pair(NamedTuple):
    """Two real benchmarks, which differ in kNN's k and the seed of the episodes."""

    tracker: Tracker
    first: str
    second: str


@pytest.fixture(scope="session")
def pair(prefect: None, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The second one reuses the pretraining of the first."""
    folder = tmp_path_factory.mktemp("pair")
    recipe = write_recipe(write_configs(folder, images), ("knn", "few-shot"), ("mae", "random"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.chdir(folder)
        tracker = Tracker()
        for name, changes in (("first", []), ("second", ["knn.k=1", "few-shot.seed=1"])):
            mae_full_benchmark(str(recipe), str(folder / name), changes, strict=True)
    found = tracker.client.search_runs([tracker.experiment], "tags.stage = 'benchmark'")
    second, first = (run.info.run_id for run in found)
    return Pair(tracker, first, second)


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, images: Path
) -> tuple[Setting, Path]:
    """A place to run cells in, and configs, for all tests of a file."""
    folder = tmp_path_factory.mktemp("shared")
    tracker = Tracker(f"sqlite:///{shutil.copy(empty_database, folder / 'mlflow.db')}")
    configs = write_configs(folder / "configs", images)
    return Setting(folder / "work", tracker, Display(), "tiny"), configs
