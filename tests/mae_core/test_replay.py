from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub
from PIL import Image

from mae_core import UserError, create_model, pretrain
from mae_core.checkpoints import save_weights
from mae_core.config import load_config
from mae_core.reading import read_content
from mae_core.replay import replay
from tests.line import Notes
from tests.tiny import write_configs

pytestmark = pytest.mark.slow

DEAD = 1e35  # times 36 pixels of 255 is more than float32 holds


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """Of seven black images and a white one."""
    for split in ("train", "val"):
        folder = tmp_path / "images" / split / "class-0"
        folder.mkdir(parents=True)
        for number in range(8):
            Image.new("L", (12, 12), 255 * (number == 0)).save(folder / f"{number}.png")
    configs = write_configs(tmp_path / "configs", tmp_path / "images")
    with (configs / "pretrain.py").open("a") as config:
        config.write("pixels = dict(mean=[0.0] * 3, std=[1.0] * 3)\n")
    return configs


@pytest.fixture
def start(tmp_path: Path) -> str:
    """Weights that only black images can be shown to."""
    torch.manual_seed(0)
    sizes = {"img_size": 12, "width": 16, "depth": 1, "heads": 2}
    decoder = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
    mae = create_model("vit-micro-p6", **sizes, **decoder)
    mae.encoder.patch_embed.proj.weight.data.fill_(DEAD)
    path = tmp_path / "start.safetensors"
    save_weights(path, mae, mae=mae.config, encoder=mae.encoder.config)
    return str(path)


def run(configs: Path, folder: Path, start: str, *overrides: str) -> list[str]:
    MessageHub._instance_dict.clear()  # as in a new process
    notes = Notes()
    config = load_config(str(configs / "pretrain.py"), overrides=overrides)
    pretrain.run(config, start, folder, notes)
    return notes.notes


@pytest.mark.parametrize("size", [4, 2])
def test_the_first_update_that_is_not_finite_is_kept_and_told_about(
    configs: Path, start: str, tmp_path: Path, size: int
) -> None:
    """In one step, or as the second of two."""
    changes = "train_cfg.max_epochs=2", f"train_dataloader.batch_size={size}", "effective_batch=4"
    said = run(configs, tmp_path / "work", start, *changes)
    file = tmp_path / "work" / "not_finite.pth"
    (told,) = [note for note in said if f"mae-bench replay {file}" in note]
    content = read_content(file)
    white = [int(batch["inputs"].flatten(1).any(dim=1).sum()) for batch in content["batches"]]
    assert sum(white) == 1 and len(white) == 4 // size
    (number,) = content["batches"][white.index(1)]["inputs"].flatten(1).any(dim=1).nonzero()
    batch = f"batch {white.index(1)}: "
    found = replay(file)
    assert f"the gradients of step {content['step']} are not finite" in told
    assert f"{batch}loss nan" in found
    assert f"{batch}images whose loss is not finite: {int(number)}" in found
    assert f"{batch}the first that is not finite is the input of mae.encoder.blocks.0" in found
    assert any(line.startswith(f"{batch}gradients that are not finite: ") for line in found)
    assert found[-1] == "weights that are not finite before: none"


@pytest.mark.parametrize("wrapper", ["FiniteOptimWrapper", "OptimWrapper"])
def test_a_training_with_finite_gradients_keeps_nothing(
    configs: Path, tmp_path: Path, wrapper: str
) -> None:
    changes = "train_cfg.max_epochs=1", f"optim_wrapper.type={wrapper}"
    run(configs, tmp_path / "work", "random", *changes)
    assert not (tmp_path / "work" / "not_finite.pth").exists()


def test_a_pretraining_without_any_finite_update_says_so(
    configs: Path, start: str, tmp_path: Path
) -> None:
    changes = "train_cfg.max_epochs=1", "train_dataloader.batch_size=8"
    with pytest.raises(UserError, match="no update had a finite loss"):
        run(configs, tmp_path / "work", start, *changes)


@pytest.mark.parametrize("content", [b"", b"PK", "weights", "model"])
def test_other_files_are_one_message(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "not_finite.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "weights":
        torch.save({"a": torch.zeros(2)}, path)
    else:
        torch.save({"step": 1, "config": "{}", "weights": {}, "batches": []}, path)
    with pytest.raises(UserError, match=r"not_finite\.pth"):
        replay(path)
