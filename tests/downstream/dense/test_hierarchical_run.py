"""A pretrained hierarchical encoder of timm through both stages, broken off, resumed, asked."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from downstream.detection import check as detection_check
from downstream.detection import predict as detection_predict
from downstream.detection import stage as detection
from downstream.segmentation import check as segmentation_check
from downstream.segmentation import predict as segmentation_predict
from downstream.segmentation import stage as segmentation
from mae_core import create_encoder
from mae_core.checkpoints import read_state, save_encoder
from mae_core.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.dense.test_rehearsal import VAL
from tests.downstream.dense.test_stored import NAMES
from tests.faults import arm

STAGES = {
    "detect": (detection, detection_check, detection_predict),
    "segment": (segmentation, segmentation_check, segmentation_predict),
}
ARCH = "timm:test_resnet"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", STAGES)
def test_it_is_checked_trained_resumed_to_the_same_weights_and_predicts(
    name: str, scenes: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    source = str(tmp_path / "encoder.safetensors")
    save_encoder(source, create_encoder(ARCH, img_size=64))
    stage, check, predict = STAGES[name]
    config = load_config(NAMES[name])
    config.data_root, config.val_data = str(scenes), VAL[name]
    config.encoder = {"arch": ARCH, "img_size": 64, "in_chans": 3}
    config.train_cfg.max_epochs, config.train_dataloader.batch_size = 3, 4
    config.default_hooks.checkpoint.minutes = 0  # so that it goes on in the middle of an epoch
    check.check(config, source)
    notes: list[str] = []
    reporter = SilentReporter()
    reporter.note = notes.append  # type: ignore[method-assign]
    whole = stage.run(Config(config.to_dict()), source, tmp_path / "whole", reporter)
    assert [note for note in notes if "strides" in note] and whole.metrics
    fault = tmp_path / "fault"
    arm(fault, "raise", 3)
    config.custom_hooks = [{"type": "Fault", "file": str(fault)}]
    with pytest.raises(RuntimeError, match="the device is gone"):
        stage.run(Config(config.to_dict()), source, tmp_path / "broken", SilentReporter())
    resumed = stage.run(Config(config.to_dict()), source, tmp_path / "broken", SilentReporter())
    first, second = (read_state(str(result.checkpoint)) for result in (whole, resumed))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert whole.metrics == resumed.metrics
    learnt = [key for key in first if "running_mean" in key and "backbone" in key]
    stored = read_state(source)
    kept = all(torch.equal(first[k], stored[k.removeprefix("backbone.encoder.")]) for k in learnt)
    assert learnt and kept == (name == "detect")
    photos = sorted((scenes / "val").glob("*.png"))[:2]
    files = predict.predict(Path(str(whole.checkpoint)), photos, tmp_path / "out")
    assert all(file.is_file() for file in files) and (tmp_path / "out" / "00.png") in files
