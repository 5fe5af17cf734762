import argparse
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from transformers import ViTMAEForPreTraining

from mae_core import UserError, create_encoder, create_model
from mae_core.checkpoints import (
    load_encoder,
    load_weights,
    read_metadata,
    read_state,
    save_encoder,
    save_weights,
)
from mae_core.convert import convert
from mae_core.describe import load_mae
from mae_core.methods import create_method
from mae_core.methods.mae import MAE
from mae_core.published import resolve_encoder
from tests.faults import Evil

SIZES = {"img_size": 32, "patch_size": 8, "width": 96, "depth": 2, "heads": 3}
DECODER = {"decoder_width": 512, "decoder_depth": 1, "norm_pix_loss": False}


def mae_file(folder: Path) -> tuple[MAE, Path]:
    torch.manual_seed(3)
    mae = create_model("vit-micro-p6", **SIZES, **DECODER)
    path = folder / "mae.safetensors"
    save_weights(path, mae, mae=mae.config, encoder=mae.encoder.config, pixels={"mean": [1.0]})
    return mae, path


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("layout", ["native", "mae", "hf", "mmpretrain"])
def test_there_and_back_is_bit_exact(tmp_path: Path, layout: str, suffix: str) -> None:
    mae, path = mae_file(tmp_path)
    there, back = tmp_path / f"there{suffix}", tmp_path / "back.safetensors"
    assert convert(path, there, layout).left_out == ()
    done = convert(there, back, "native")
    assert (done.source, done.written) == (layout, len(mae.state_dict()))
    assert equal(read_state(back), mae.state_dict())


def test_transformers_loads_what_was_converted_and_computes_the_same(tmp_path: Path) -> None:
    mae, path = mae_file(tmp_path)
    convert(path, tmp_path / "hf", "hf")
    theirs, loading = ViTMAEForPreTraining.from_pretrained(
        tmp_path / "hf", output_loading_info=True
    )
    assert not any(loading.values()), loading
    images, noise = torch.randn(2, 3, 32, 32), torch.rand(2, 16)
    out, expected = mae(images, noise), theirs(images, noise=noise)
    torch.testing.assert_close(out.pred, expected.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out.loss, expected.loss, atol=1e-5, rtol=1e-5)


def test_timm_gets_the_encoder_and_the_rest_is_named(tmp_path: Path) -> None:
    mae, path = mae_file(tmp_path)
    done = convert(path, tmp_path / "timm.pth", "timm")
    assert all(key.startswith("decoder.") for key in done.left_out)
    assert done.written + len(done.left_out) == len(mae.state_dict())
    assert equal(torch.load(tmp_path / "timm.pth"), mae.encoder.state_dict())


def test_an_official_file_becomes_one_that_says_what_it_is(tmp_path: Path) -> None:
    """Its arguments and optimizer are left behind; heads follow from the width."""
    encoder = create_encoder("vit-micro-p6", **SIZES)
    content = {"model": encoder.state_dict(), "args": argparse.Namespace(lr=1.0), "epoch": 1}
    torch.save(content, tmp_path / "official.pth")
    convert(tmp_path / "official.pth", tmp_path / "encoder.safetensors", "native")
    stored = load_encoder(tmp_path / "encoder.safetensors")
    assert stored.config == encoder.config
    assert equal(stored.state_dict(), encoder.state_dict())


def test_what_our_files_know_survives_the_way_through_other_layouts(tmp_path: Path) -> None:
    mae, path = mae_file(tmp_path)
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    for layout in ("hf", "mmpretrain"):
        convert(path, there, layout)
        convert(there, back, "native")
        assert read_metadata(back) == read_metadata(path)
        assert load_mae(back)[0].config == mae.config


def test_a_whole_mae_loads_from_every_layout_with_an_empty_report(tmp_path: Path) -> None:
    mae, path = mae_file(tmp_path)
    for layout in ("native", "mae", "hf", "mmpretrain"):
        convert(path, tmp_path / "there.pth", layout)
        fresh = create_model("vit-micro-p6", **SIZES, **DECODER)
        report = load_weights(fresh, tmp_path / "there.pth")
        assert (report.missing, report.unexpected, report.resized) == ((), (), ())
        assert equal(fresh.state_dict(), mae.state_dict())


MISTAKES = {
    ("mae.safetensors", "out.pth", "tim"): "no layout is called 'tim': did you mean 'timm'",
    ("mae.safetensors", "out.txt", "mae"): r"out\.txt: expected a name that ends with",
    ("mae.safetensors", "no/out.pth", "mae"): "there is no folder",
    ("nothing.pth", "out.pth", "mae"): "no checkpoint at",
    ("evil.pth", "out.pth", "mae"): r"evil\.pth cannot be read",
    ("resnet.pth", "out.pth", "mae"): r"resnet\.pth holds no weights of a ViT",
    ("wide.pth", "out.safetensors", "native"): "no known model is 40 wide",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_is_explained_and_leaves_no_file(
    tmp_path: Path, arguments: tuple[str, str, str]
) -> None:
    mae_file(tmp_path)
    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    wide = create_encoder("vit-micro-p6", **{**SIZES, "width": 40, "heads": 2})
    torch.save(wide.state_dict(), tmp_path / "wide.pth")
    source, target, layout = arguments
    with pytest.raises(UserError, match=MISTAKES[arguments]):
        convert(tmp_path / source, tmp_path / target, layout)
    assert not (tmp_path / target).exists()


def test_a_masked_convnext_goes_to_timm_and_comes_back_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    method = create_method("fcmae", create_encoder("timm:convnextv2_atto", img_size=64))
    pixels = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}
    about = {**method.encoder.metadata(), "pixels": pixels}
    path = Path(method.save(tmp_path, about)["fcmae"])
    for name in ("a.safetensors", "a.pth"):
        done = convert(path, tmp_path / name, "timm")
        assert (done.source, done.written) == ("native", len(method.encoder.state_dict()))
        assert all(key.startswith("decoder.") for key in done.left_out) and done.left_out
        assert "timm.create_model('convnextv2_atto', num_classes=0)" in done.notes[-1]
    theirs = timm.create_model("convnextv2_atto", num_classes=0)
    theirs.load_state_dict(load_file(tmp_path / "a.safetensors"), strict=True)
    images = torch.randn(2, 3, 64, 64)
    expected = theirs.eval().forward_features(images)
    assert torch.equal(method.encoder.eval()(images), expected)
    assert equal(torch.load(tmp_path / "a.pth"), theirs.state_dict())
    back = resolve_encoder(f"timm:convnextv2_atto.fcmae@{tmp_path / 'a.safetensors'}")
    assert torch.equal(load_encoder(back).eval()(images), expected)
    said = read_metadata(back)
    assert (said["encoder"]["img_size"], said["pixels"]) == ([64, 64], pixels)
    with pytest.raises(UserError, match=r"only ViTs have layouts.* the family 'timm' the layout"):
        convert(path, tmp_path / "b.pth", "mae")


def test_a_model_with_options_says_how_timm_builds_it(tmp_path: Path) -> None:
    options = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
    encoder = create_encoder("timm:convnextv2_atto", img_size=64, options=options)
    save_encoder(tmp_path / "a.safetensors", encoder)
    done = convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", "timm")
    assert done.left_out == () and f"**{options}" in done.notes[-1]
    about = read_metadata(tmp_path / "b.safetensors")
    assert (about["model_args"], about["input_size"]) == (options, [3, 64, 64])
    theirs = timm.create_model(about["architecture"], num_classes=0, **about["model_args"])
    theirs.load_state_dict(load_file(tmp_path / "b.safetensors"), strict=True)
