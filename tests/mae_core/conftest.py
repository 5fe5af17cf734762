from pathlib import Path

import pytest
import torch

from tests.tiny import write_configs, write_images


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def configs(tmp_path: Path, images: Path) -> Path:
    return write_configs(tmp_path / "configs", images)
