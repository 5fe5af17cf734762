from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MessageHub
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from downstream.classification import knn
from downstream.classification.features import train_and_val_features
from mae_core import UserError, pretrain
from mae_core.checkpoints import read_state
from mae_core.config import load_config
from mae_core.stage import SilentReporter, StageResult
from tests.tiny import write_configs, write_images

pytestmark = pytest.mark.slow


class Heard(SilentReporter):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.found: dict[int, dict[str, float]] = {}

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Keep the encoder's figures."""
        if "val/knn/top1" in values:
            self.found[step] = dict(values)


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
        f"custom_hooks = [{ {'type': 'EncoderMonitor', 'k': 3, **data, **changes} }]\n"
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
    folder = tmp_path / "work" / "knn"
    folder.mkdir(parents=True)
    stage = knn.run(labelled, str(with_it.checkpoint), folder, Heard())
    last = heard.found[60]
    assert last["val/knn/top1"] == pytest.approx(stage.metrics["knn/top1"].value)
    train, val = train_and_val_features(labelled, str(with_it.checkpoint), folder, Heard())
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    probe.fit(train.x.numpy(), train.y.numpy())
    assert last["val/linear-probe/top1"] == pytest.approx(probe.score(val.x.numpy(), val.y.numpy()))
    shares = np.linalg.svd(val.x.double().numpy(), compute_uv=False)
    shares /= shares.sum()
    assert last["val/rankme"] == pytest.approx(np.exp(entropy(shares)))


def test_more_neighbours_than_images_are_refused_before_the_first_step(
    configs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="k=50 needs as many train images, found 40"):
        run(watched(configs, k=50), tmp_path / "work", Heard())
