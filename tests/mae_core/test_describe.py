from pathlib import Path

import pytest
import torch

from mae_core import UserError, create_encoder, create_model
from mae_core.checkpoints import save_weights
from mae_core.describe import IMAGENET, encoder_fields, load_mae
from mae_core.layouts import to_layout

SIZES = {"img_size": 32, "patch_size": 8, "depth": 2}
DECODER = {"decoder_width": 512, "decoder_depth": 1}


@pytest.mark.parametrize("arch", ["vit-tiny-p16", "vit-base-p16", "vit-large-p16", "vit-huge-p14"])
def test_the_published_sizes_follow_from_the_shapes(arch: str) -> None:
    with torch.device("meta"):
        encoder = create_encoder(arch)
    state = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    assert encoder_fields(state) == encoder.config


def test_a_foreign_mae_loads_with_what_its_project_uses(tmp_path: Path) -> None:
    mae = create_model("vit-micro-p6", **SIZES, **DECODER)
    torch.save({"model": to_layout(mae.state_dict(), "mae")[0]}, tmp_path / "full.pth")
    found, pixels = load_mae(tmp_path / "full.pth")
    assert pixels == IMAGENET
    assert found.config == mae.config
    images, noise = torch.randn(1, 3, 32, 32), torch.rand(1, 16)
    assert torch.equal(found(images, noise).pred, mae(images, noise).pred)


def test_our_own_file_says_all_by_itself(tmp_path: Path) -> None:
    mae = create_model("vit-micro-p6", **{**SIZES, "img_size": (16, 40)}, norm_pix_loss=False)
    pixels = {"mean": [1.0], "std": [2.0]}
    about = {"mae": mae.config, "encoder": mae.encoder.config, "pixels": pixels}
    save_weights(tmp_path / "mae.safetensors", mae, **about)
    found, stored = load_mae(tmp_path / "mae.safetensors")
    assert (found.config, found.encoder.config, stored) == (mae.config, mae.encoder.config, pixels)


def test_an_encoder_without_decoder_is_explained(tmp_path: Path) -> None:
    encoder = create_encoder("vit-micro-p6", **SIZES)
    torch.save(encoder.state_dict(), tmp_path / "encoder.pth")
    with pytest.raises(UserError, match=r"encoder without the decoder.*mae\.safetensors"):
        load_mae(tmp_path / "encoder.pth")


def test_a_decoder_with_a_lost_weight_is_named(tmp_path: Path) -> None:
    state = create_model("vit-micro-p6", **SIZES, **DECODER).state_dict()
    del state["decoder.norm.bias"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"lacks weights of its MAE: decoder\.norm\.bias"):
        load_mae(tmp_path / "part.pth")


def test_weights_without_a_place_are_not_left_out_in_silence(tmp_path: Path) -> None:
    mae = create_model("vit-micro-p6", **SIZES, **DECODER)
    state = to_layout(mae.state_dict(), "mae")[0] | {"blocks.0.ls1.gamma": torch.ones(192)}
    torch.save({"model": state}, tmp_path / "full.pth")
    with pytest.raises(UserError, match=r"no MAE has here: blocks\.0\.ls1\.gamma"):
        load_mae(tmp_path / "full.pth")
