from collections.abc import Mapping
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.logging import MessageHub

from downstream.classification import knn
from mae_core import UserError, pretrain
from mae_core.checkpoints import read_state
from mae_core.config import load_config
from mae_core.stage import SilentReporter, StageResult
from tests.tiny import write_configs, write_images

pytestmark = pytest.mark.slow


class Heard(SilentReporter):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.found: dict[int, float] = {}

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Keep the accuracy."""
        if "val/knn/top1" in values:
            self.found[step] = values["val/knn/top1"]


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    return write_configs(tmp_path / "configs", write_images(tmp_path / "images", train=20))


def watched(configs: Path, **changes: int) -> Config:
    """The pretraining's config with a monitor."""
    labelled = load_config(str(configs / "knn.py"))
    data = {name: labelled[name].to_dict() for name in ("train_data", "val_data")}
    path = configs / "watched.py"
    path.write_text(
        f"_base_ = '{configs / 'pretrain.py'}'\n"
        "custom_imports = dict(imports=['tests.faults', 'downstream.classification.monitor'])\n"
        f"custom_hooks = [{ {'type': 'KNNMonitor', 'k': 3, **data, **changes} }]\n"
    )
    return load_config(str(path))


def run(config: Config, folder: Path, reporter: SilentReporter) -> StageResult:
    MessageHub._instance_dict.clear()  # as in a new process
    return pretrain.run(config, "random", folder, reporter)


def test_it_sees_what_the_stage_finds_and_does_not_touch_the_training(
    configs: Path, tmp_path: Path
) -> None:
    heard = Heard()
    with_it = run(watched(configs, every=4), tmp_path / "with", heard)
    without = run(load_config(str(configs / "pretrain.py")), tmp_path / "without", Heard())
    states = [read_state(one.artifacts["mae"]) for one in (with_it, without)]
    assert all(states[0][key].equal(value) for key, value in states[1].items())
    assert list(heard.found) == [40, 60]
    labelled = load_config(str(configs / "knn.py"))
    (tmp_path / "work" / "knn").mkdir(parents=True)
    stage = knn.run(labelled, str(with_it.checkpoint), tmp_path / "work" / "knn", Heard())
    assert heard.found[60] == pytest.approx(stage.metrics["knn/top1"].value)


def test_more_neighbours_than_images_are_refused_before_the_first_step(
    configs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="k=50 needs as many train images, found 40"):
        run(watched(configs, k=50), tmp_path / "work", Heard())
