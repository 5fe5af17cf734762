import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mae_core import UserError, create_encoder, create_model
from mae_core.checkpoints import build_encoder, load_encoder, load_weights, save_weights
from mae_core.convert import convert
from mae_core.describe import load_mae
from mae_core.encoders.vit import ViTEncoder
from mae_core.grids import grid_of, parse_size, sincos_grid
from mae_core.positions import sincos_positions

WIDE = {"img_size": (32, 128), "patch_size": 8, "width": 96, "depth": 1, "heads": 3}


def encoder_file(folder: Path, learnt: bool = False, **fields: Any) -> tuple[ViTEncoder, Path]:
    """An encoder, and a file of it that does not say its images' size."""
    encoder = create_encoder("vit-micro-p6", **{**WIDE, **fields})
    if learnt:
        torch.nn.init.normal_(encoder.pos_embed, std=0.02)
    torch.save(encoder.state_dict(), folder / "wide.pth")
    return encoder, folder / "wide.pth"


def same(one: ViTEncoder, other: ViTEncoder) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return one.config == other.config and all(torch.equal(a[key], b[key]) for key in a)


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), half=st.booleans())
def test_the_grid_of_sine_cosine_positions_is_known(rows: int, columns: int, half: bool) -> None:
    table = sincos_positions((rows, columns), 16)
    found = sincos_grid(table.bfloat16() if half else table)
    assert found == (rows, columns)


def test_other_tables_are_not_taken_for_one() -> None:
    assert sincos_grid(torch.randn(1, 65, 16)) is None
    assert sincos_grid(torch.zeros(1, 65, 16)) is None
    assert sincos_grid(sincos_positions((8, 8), 16)[:, 1:]) is None  # without the class token


@pytest.mark.parametrize("size", [(32, 128), (48, 128), (128, 32), (8, 512), (64, 64)])
def test_the_size_comes_through_conversions(tmp_path: Path, size: tuple[int, int]) -> None:
    encoder, path = encoder_file(tmp_path, img_size=size)
    convert(path, tmp_path / "own.safetensors", "native")
    assert same(load_encoder(tmp_path / "own.safetensors"), encoder)


@pytest.mark.parametrize("size", [(32, 128), (48, 128), (64, 64)])
def test_learnt_positions_need_the_size_and_get_it(tmp_path: Path, size: tuple[int, int]) -> None:
    encoder, path = encoder_file(tmp_path, learnt=True, img_size=size)
    target = tmp_path / "own.safetensors"
    with pytest.raises(UserError, match=r"wide\.pth.*nothing that says.*--img-size"):
        convert(path, target, "native")
    with pytest.raises(UserError, match="which images of 64×48 do not have"):
        convert(path, target, "native", (64, 48))
    assert not target.exists()
    convert(path, target, "native", size)
    assert same(load_encoder(target), encoder)


@pytest.mark.parametrize("target", ["hf", "hf.safetensors", "hf.pth"])
def test_transformers_do_not_get_what_they_would_take_for_square(
    tmp_path: Path, target: str
) -> None:
    _, path = encoder_file(tmp_path)
    with pytest.raises(UserError, match="needs square images, found 32×128"):
        convert(path, tmp_path / target, "hf")
    _, path = encoder_file(tmp_path, learnt=True)
    with pytest.raises(UserError, match="--img-size"):
        convert(path, tmp_path / target, "hf")
    assert not (tmp_path / target).exists()
    convert(path, tmp_path / target, "hf", (64, 64))
    assert (tmp_path / target).exists()


def test_what_the_file_says_of_the_size_is_taken(tmp_path: Path) -> None:
    encoder, path = encoder_file(tmp_path, learnt=True)
    for args in (Namespace(input_size=[32, 128]), {"img_size": (32, 128)}):
        torch.save({"model": encoder.state_dict(), "args": args}, path)
        convert(path, tmp_path / "own.safetensors", "native")
        assert same(load_encoder(tmp_path / "own.safetensors"), encoder)
    torch.save({"model": encoder.state_dict(), "args": {"img_size": 224}}, path)
    with pytest.raises(UserError, match="which images of 224×224 do not have"):
        convert(path, tmp_path / "own.safetensors", "native")


def test_a_config_of_transformers_says_size_and_heads(tmp_path: Path) -> None:
    encoder, path = encoder_file(tmp_path, learnt=True, img_size=64, width=40, heads=5)
    with pytest.raises(UserError, match="no known model is 40 wide"):
        convert(path, tmp_path / "own.safetensors", "native", (64, 64))
    (tmp_path / "config.json").write_text(
        json.dumps({"image_size": 64, "num_attention_heads": 5, "model_type": "vit"})
    )
    path.rename(tmp_path / "pytorch_model.bin")
    convert(tmp_path, tmp_path / "own.safetensors", "native")
    assert same(load_encoder(tmp_path / "own.safetensors"), encoder)


def test_a_published_models_learnt_positions_are_those_of_its_images() -> None:
    state = {
        "encoder.pos_embed": torch.randn(1, 197, 768),
        "encoder.patch_embed.proj.weight": torch.zeros(768, 3, 16, 16),
    }
    assert grid_of(state) == (14, 14)
    assert grid_of({**state, "encoder.pos_embed": torch.randn(1, 65, 768)}) is None


def test_positions_of_another_grid_with_as_many_are_resampled(tmp_path: Path) -> None:
    _, path = encoder_file(tmp_path)
    square = create_encoder("vit-micro-p6", **{**WIDE, "img_size": 64})
    assert load_weights(square, path).resized == ("pos_embed",)
    direct = create_encoder("vit-micro-p6", **WIDE)
    assert load_weights(direct, path).resized == ()


def test_learnt_positions_are_not_resampled_by_a_guess(tmp_path: Path) -> None:
    _, path = encoder_file(tmp_path, learnt=True)
    fields = {"arch": "vit-micro-p6", **WIDE}
    build_encoder(fields, str(path))  # the config says it
    with pytest.raises(UserError, match="convert FILE OUT"):
        build_encoder({**fields, "img_size": 48}, str(path))


def test_a_wide_mae_is_rebuilt_from_a_foreign_file(tmp_path: Path) -> None:
    mae = create_model("vit-micro-p6", **WIDE, decoder_width=512, decoder_depth=1)
    save_weights(tmp_path / "mae.safetensors", mae)  # without metadata
    found, _ = load_mae(tmp_path / "mae.safetensors")
    assert found.encoder.config == mae.encoder.config


@pytest.mark.parametrize(
    ("text", "size"),
    [("224", (224, 224)), ("32x128", (32, 128)), ("32,128", (32, 128)), ("32×128", (32, 128))],
)
def test_a_size_is_one_number_or_two(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@given(text=st.text() | st.from_regex(r"-?[0-9]+(x-?[0-9]+)*", fullmatch=True))
def test_any_other_text_is_no_size(text: str) -> None:
    try:
        height, width = parse_size(text)
    except UserError as error:
        assert "no size of images" in str(error)
    else:
        assert height > 0 and width > 0
