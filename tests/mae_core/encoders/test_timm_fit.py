"""Stored weights of models of timm, for images of another size or with other channels."""

from pathlib import Path

import pytest
import torch
from timm.layers import resample_abs_pos_embed
from timm.models import adapt_input_conv

from mae_core import UserError
from mae_core.checkpoints import check_sizes, load_encoder, load_whole, save_encoder
from mae_core.encoders.timm_zoo import TimmEncoder
from mae_core.fitting import spread_rgb


def test_positions_and_channels_are_fitted_as_timm_does(tmp_path: Path) -> None:
    stored = TimmEncoder("test_vit", (32, 64))
    save_encoder(tmp_path / "a.safetensors", stored)
    found = TimmEncoder("test_vit", 48, in_chans=1)
    report = load_whole(found, tmp_path / "a.safetensors")
    resized = {"model.pos_embed", "model.patch_embed.proj.weight"}
    assert set(report.resized) == resized and not report.missing
    own, theirs = found.model.state_dict(), stored.model.state_dict()
    positions = resample_abs_pos_embed(theirs["pos_embed"], [3, 3], [2, 4], 1)
    assert torch.equal(own["pos_embed"], positions)
    patches = adapt_input_conv(1, theirs["patch_embed.proj.weight"])
    assert torch.equal(own["patch_embed.proj.weight"], patches)
    for name in own.keys() - {"pos_embed", "patch_embed.proj.weight"}:
        assert torch.equal(own[name], theirs[name]), name
    again = load_encoder(tmp_path / "a.safetensors", img_size=48, in_chans=1)
    assert torch.equal(again.model.state_dict()["pos_embed"], positions)


def test_as_many_positions_of_another_grid_are_resampled(tmp_path: Path) -> None:
    stored = TimmEncoder("test_vit", (32, 128))
    save_encoder(tmp_path / "a.safetensors", stored)
    found = TimmEncoder("test_vit", 64)
    assert load_whole(found, tmp_path / "a.safetensors").resized == ("model.pos_embed",)
    expected = resample_abs_pos_embed(stored.model.pos_embed, [4, 4], [2, 8], 1)
    torch.testing.assert_close(found.model.pos_embed, expected)


@pytest.mark.parametrize("model", ["swin_tiny_patch4_window7_224", "test_coatnet", "test_maxvit"])
def test_tables_of_relative_positions_are_resized_by_timm(model: str, tmp_path: Path) -> None:
    stored = TimmEncoder(model, 96)
    save_encoder(tmp_path / "a.safetensors", stored)
    found = TimmEncoder(model, 64).eval()
    resized = load_whole(found, tmp_path / "a.safetensors").resized
    assert resized and all("relative_position_bias" in name for name in resized)
    module = __import__(type(stored.model).__module__, fromlist=["checkpoint_filter_fn"])
    expected = module.checkpoint_filter_fn(stored.model.state_dict(), found.model)
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_convolutions_take_any_size_and_channels_of_a_file_come_from_it(tmp_path: Path) -> None:
    stored = TimmEncoder("resnet10t", 96, in_chans=1)
    save_encoder(tmp_path / "a.safetensors", stored)
    found = TimmEncoder("resnet10t", 64, in_chans=2)
    assert load_whole(found, tmp_path / "a.safetensors").resized == ("model.conv1.0.weight",)
    first = stored.model.conv1[0].weight
    torch.testing.assert_close(found.model.conv1[0].weight, first.repeat(1, 2, 1, 1) / 2)


def test_what_timm_cannot_resize_is_refused(tmp_path: Path) -> None:
    save_encoder(tmp_path / "a.safetensors", TimmEncoder("mixer_s16_224", 96))
    with pytest.raises(UserError, match=r"a.safetensors: 'encoder.model.*the model needs"):
        load_encoder(tmp_path / "a.safetensors", img_size=64)


def test_counters_are_loaded_and_quantised_weights_are_not(tmp_path: Path) -> None:
    encoder = TimmEncoder("resnet10t", 32)
    counter = encoder.model.bn1.num_batches_tracked
    counter.fill_(7)
    save_encoder(tmp_path / "a.safetensors", encoder)
    assert load_encoder(tmp_path / "a.safetensors").model.bn1.num_batches_tracked == 7
    encoder.model.bn1.running_mean = torch.zeros(64, dtype=torch.int8)
    save_encoder(tmp_path / "a.safetensors", encoder)
    with pytest.raises(UserError, match="running_mean' holds int8: expected float"):
        load_encoder(tmp_path / "a.safetensors")


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    save_encoder(tmp_path / "a.safetensors", TimmEncoder("test_vit", 32))
    with pytest.raises(UserError, match="holds none of the"):
        load_whole(TimmEncoder("test_resnet", 32), tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=r"has model=test_vit, the config asks for model=test_vit2"):
        check_sizes({"arch": "timm:test_vit2", "img_size": 32}, str(tmp_path / "a.safetensors"))


def test_bands_get_the_kernels_of_their_colours(tmp_path: Path) -> None:
    stored = TimmEncoder("test_convnext", 32)
    save_encoder(tmp_path / "a.safetensors", stored)
    bands = {"red": 3, "green": 2, "blue": 1}
    found = TimmEncoder("test_convnext", 32, in_chans=12, rgb_bands=bands)
    report = load_whole(found, tmp_path / "a.safetensors")
    (key,) = report.resized
    rgb, own = stored.state_dict()[key], found.state_dict()[key]
    assert torch.equal(own, spread_rgb(rgb, 12, (3, 2, 1)))
    assert torch.equal(own[:, 3], rgb[:, 0] * 0.25) and "rgb_bands" not in found.config
