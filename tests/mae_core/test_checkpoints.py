import argparse
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mae_core import UserError, create_encoder, create_model
from mae_core.checkpoints import (
    build_encoder,
    load_encoder,
    load_weights,
    read_metadata,
    read_state,
    save_weights,
)
from tests.faults import Evil

FIELDS = {"arch": "vit-micro-p6", "img_size": 24, "depth": 2}


@pytest.fixture
def encoder_file(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    encoder = create_encoder(**FIELDS)
    save_weights(tmp_path / "encoder.safetensors", encoder, encoder=encoder.config)
    return tmp_path / "encoder.safetensors"


def test_a_round_trip_is_bit_exact_and_says_so(encoder_file: Path) -> None:
    stored, fresh = load_encoder(encoder_file), create_encoder(**FIELDS)
    report = load_weights(fresh, encoder_file)
    assert (report.missing, report.unexpected, report.resized) == ((), (), ())
    assert len(report.loaded) == len(fresh.state_dict())
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, stored.state_dict()[key])


def test_positions_are_resampled_to_another_grid(encoder_file: Path) -> None:
    larger = create_encoder(**{**FIELDS, "img_size": 48})
    assert load_weights(larger, encoder_file).resized == ("pos_embed",)


def test_positions_follow_a_grid_that_is_not_square(encoder_file: Path) -> None:
    wide = create_encoder(**{**FIELDS, "img_size": (12, 48)})  # as many patches as 24×24 has
    assert load_weights(wide, encoder_file).resized == ("pos_embed",)
    save_weights(encoder_file, wide, encoder=wide.config)
    assert load_weights(create_encoder(**FIELDS), encoder_file).resized == ("pos_embed",)
    assert load_weights(wide, encoder_file).resized == ()


def test_rgb_weights_are_adapted_to_other_channels(encoder_file: Path) -> None:
    grey = build_encoder({**FIELDS, "in_chans": 1}, str(encoder_file))
    summed = load_encoder(encoder_file).patch_embed.proj.weight.sum(1, keepdim=True)
    torch.testing.assert_close(grey.patch_embed.proj.weight, summed)
    save_weights(encoder_file, grey, encoder=grey.config)
    with pytest.raises(UserError, match="looks at 1 channels, the model at 3"):
        build_encoder(FIELDS, str(encoder_file))


def test_an_encoder_alone_fills_a_mae_and_the_decoder_is_missing(encoder_file: Path) -> None:
    mae = create_model(**FIELDS, decoder_width=16, decoder_depth=1, decoder_heads=2)
    report = load_weights(mae, encoder_file)
    assert torch.equal(mae.encoder.cls_token, load_encoder(encoder_file).cls_token)
    assert report.missing
    assert all(key.startswith("decoder.") for key in report.missing)


def test_a_layer_that_a_plain_vit_lacks_is_not_dropped_in_silence(tmp_path: Path) -> None:
    state = create_encoder(**FIELDS).state_dict()
    torch.save({**state, "blocks.0.ls1.gamma": torch.ones(96)}, tmp_path / "scaled.pth")
    with pytest.raises(UserError, match=r"no place for: blocks\.0\.ls1\.gamma"):
        build_encoder(FIELDS, str(tmp_path / "scaled.pth"))


def test_a_fine_tuned_classifier_without_the_encoders_norm_is_explained(tmp_path: Path) -> None:
    state = create_encoder(**FIELDS).state_dict()
    for leaf in ("weight", "bias"):
        state[f"fc_norm.{leaf}"] = state.pop(f"norm.{leaf}")
    torch.save({"model": state}, tmp_path / "finetuned.pth")
    with pytest.raises(UserError, match=r"norm\.bias, norm\.weight: .*norms after pooling"):
        build_encoder(FIELDS, str(tmp_path / "finetuned.pth"))


def test_a_whole_mae_fills_an_encoder_and_names_the_rest(tmp_path: Path) -> None:
    mae = create_model(**FIELDS, decoder_width=16, decoder_depth=1, decoder_heads=2)
    save_weights(tmp_path / "mae.safetensors", mae)
    encoder = create_encoder(**FIELDS)
    report = load_weights(encoder, tmp_path / "mae.safetensors")
    assert report.missing == ()
    assert all(key.startswith("decoder.") for key in report.unexpected)
    assert torch.equal(encoder.blocks[1].mlp.fc1.weight, mae.encoder.blocks[1].mlp.fc1.weight)


def test_an_official_checkpoint_with_its_arguments_loads(tmp_path: Path) -> None:
    encoder = create_encoder(**FIELDS)
    content = {"model": encoder.state_dict(), "args": argparse.Namespace(lr=1e-3), "epoch": 3}
    torch.save(content, tmp_path / "official.pth")
    fresh = create_encoder(**FIELDS)
    assert load_weights(fresh, tmp_path / "official.pth").missing == ()
    assert torch.equal(fresh.cls_token, encoder.cls_token)


def test_a_pickle_with_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"evil\.pth cannot be read"):
        load_weights(create_encoder(**FIELDS), tmp_path / "evil.pth")
    assert "code was executed" not in capsys.readouterr().out


@pytest.mark.parametrize("size", [0, 1000])
@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth"])
def test_a_truncated_file_is_named(
    tmp_path: Path, encoder_file: Path, name: str, size: int
) -> None:
    (tmp_path / name).write_bytes(encoder_file.read_bytes()[:size])
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load_weights(create_encoder(**FIELDS), tmp_path / name)


@given(content=st.binary(max_size=40))
def test_any_file_that_is_no_checkpoint_is_named(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        file.write(content)
        file.flush()
        with pytest.raises(UserError, match=file.name):
            read_state(file.name)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match=r"resnet\.pth holds no weights of a ViT"):
        load_weights(create_encoder(**FIELDS), tmp_path / "resnet.pth")


def test_another_width_or_a_missing_file_is_explained(encoder_file: Path) -> None:
    with pytest.raises(UserError, match="width=96, the config asks for width=48"):
        build_encoder({**FIELDS, "width": 48}, str(encoder_file))
    with pytest.raises(UserError, match="no checkpoint at nowhere"):
        build_encoder(FIELDS, "nowhere")


def test_a_missing_weight_is_an_error_not_a_random_one(tmp_path: Path) -> None:
    encoder = create_encoder(**FIELDS)
    del encoder.norm
    save_weights(tmp_path / "part.safetensors", encoder, encoder=encoder.config)
    with pytest.raises(UserError, match=r"lacks weights.*norm\.bias"):
        build_encoder(FIELDS, str(tmp_path / "part.safetensors"))


def test_the_file_says_what_it_is(encoder_file: Path) -> None:
    assert read_metadata(encoder_file)["encoder"]["img_size"] == [24, 24]


@pytest.mark.parametrize(
    "said",
    [
        *(3, [], {}, {"img_size": 24}, {"img_size": "a"}, {"depth": 10**9}, {"heads": 0}),
        *({"arch": "os.system"}, {"img_size": [24, 24, 24]}, {"width": None}, {"mlp_ratio": "x"}),
    ],
)
def test_metadata_that_make_no_encoder_are_named(encoder_file: Path, said: Any) -> None:
    encoder = create_encoder(**FIELDS)
    about = {**encoder.config, **said} if isinstance(said, dict) and said else said
    if said == {"img_size": 24}:
        del about["heads"]
    save_weights(encoder_file, encoder, encoder=about)
    for read in (load_encoder, lambda path: load_weights(encoder, path)):
        try:
            read(encoder_file)
        except UserError as error:
            assert "expected" in str(error) or "metadata say no encoder" in str(error)
        else:
            assert read is not load_encoder  # other names in it do not matter to the weights
