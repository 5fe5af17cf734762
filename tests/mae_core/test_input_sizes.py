from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mae_core import UserError, create_encoder, pretrain
from mae_core.input_sizes import Phase, check_sizes_of, phases_of, resized, size_at
from mae_core.methods import Method, create_method
from mae_core.methods.base import total
from mae_core.methods.mae import MAE
from tests.mae_core.test_pretrain import config_of, run

LARGER = [
    "encoder.img_size=24",
    "train_dataloader.dataset.transform.input_size=24",
    "preview.transform.input_size=24",
]
SIZES = "input_sizes=((0.0, 12), (0.5, 24))"
CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}


def losses(method: Method, size: int) -> torch.Tensor:
    images = torch.rand((3, 3, size, size), generator=torch.Generator().manual_seed(0))
    return total(method.losses(images, torch.arange(3)))


def method_of(name: str, img_size: int) -> Method:
    torch.manual_seed(0)
    if name == "mae":
        encoder = create_encoder(
            "vit-micro-p6", img_size=img_size, patch_size=16, width=16, depth=2, heads=2
        )
        return create_method("mae", encoder, decoder_width=16, decoder_depth=1, decoder_heads=2)
    encoder = create_encoder("timm:convnextv2_atto", img_size=img_size, options=CONVNEXT)
    fields = {"simmim": {"mask_size": 16}, "spark": {"decoder_width": 256}}
    return create_method(name, encoder, **fields.get(name, {"decoder_width": 16}))


def test_without_sizes_all_images_have_the_encoders() -> None:
    assert phases_of({}, (24, 32)) == (Phase(0.0, 1.0, (24, 32)),)
    assert phases_of({"input_sizes": None}, (24, 32)) == (Phase(0.0, 1.0, (24, 32)),)


def test_each_size_has_its_part_of_the_training() -> None:
    given = {"input_sizes": [[0.0, 16], [0.25, [16, 24]], [0.5, 32]]}
    assert phases_of(given, (32, 32)) == (
        Phase(0.0, 0.25, (16, 16)),
        Phase(0.25, 0.5, (16, 24)),
        Phase(0.5, 1.0, (32, 32)),
    )


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        (16, "expected pairs"),
        ([16, 32], "expected pairs"),
        ([(0.0, "16")], "expected pairs"),
        ([("a", 16)], "expected pairs"),
        ([], "shares that grow from 0.0"),
        ([(0.1, 16)], "shares that grow from 0.0"),
        ([(0.0, 16), (0.0, 32)], "shares that grow"),
        ([(0.0, 16), (1.0, 32)], "to below 1"),
        ([(0.0, 16), (float("nan"), 32)], "shares that grow"),
        ([(0.0, 48)], "48×48 pixels, where those of the encoder .* have 32×32"),
        ([(0.0, 0)], "0×0 pixels"),
    ],
)
def test_other_values_are_told(sizes: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        phases_of({"input_sizes": sizes}, (32, 32))


@given(st.lists(st.floats(0.01, 0.99), max_size=4, unique=True), st.integers(1, 500), st.data())
def test_sizes_come_in_order_and_each_for_its_share(
    shares: list[float], steps: int, data: st.DataObject
) -> None:
    begins = [0.0, *sorted(shares)]
    sizes = [(number, number) for number in range(1, len(begins) + 1)]
    phases = phases_of({"input_sizes": [*zip(begins, sizes, strict=True)]}, (9, 9))
    met = [size_at(phases, step, steps) for step in range(steps)]
    assert met == sorted(met) and met[0] == sizes[0]
    for phase in phases:
        assert abs(met.count(phase.size) - (phase.end - phase.begin) * steps) <= 1


def test_images_are_resized_as_a_mean_of_their_pixels() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert resized(images, (8, 8)) is images
    constant = torch.full((1, 3, 8, 8), 0.25)
    torch.testing.assert_close(resized(constant, (4, 6)), torch.full((1, 3, 4, 6), 0.25))


@pytest.mark.parametrize("name", ["fcmae", "spark", "simmim"])
def test_a_convnet_is_trained_as_one_made_for_the_smaller_size(name: str) -> None:
    large, small = method_of(name, 128), method_of(name, 64)
    large.load_state_dict(small.state_dict())
    torch.testing.assert_close(losses(large, 64), losses(small, 64))


def test_positions_of_a_smaller_image_are_those_of_the_larger_one_resampled() -> None:
    large, small = method_of("mae", 64), method_of("mae", 32)
    assert isinstance(large, MAE) and isinstance(small, MAE)
    state = large.state_dict()
    large.encoder.fit(state, {})
    small.encoder.fit(state, {"image_size": [64, 64]})
    small.load_state_dict(state)
    torch.testing.assert_close(losses(large, 32), losses(small, 32))


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [
        ("mae", 40, "40×40 pixels have no whole patches of 16"),
        ("mae", 16, "input_sizes: images of 16×16 pixels: mask_ratio 0.75 leaves 0 of 1"),
        ("fcmae", 48, "48×48 pixels have no whole patches of 32"),
        ("fcmae", 32, "mask_ratio 0.6 leaves 0 of 1"),
    ],
)
def test_a_size_that_does_not_do_is_told(name: str, size: int, told: str) -> None:
    with torch.device("meta"):
        method = method_of(name, 128)
    check_sizes_of(method, phases_of({"input_sizes": [(0.0, 64), (0.5, 128)]}, (128, 128)))
    with pytest.raises(UserError, match=told):
        check_sizes_of(method, phases_of({"input_sizes": [(0.0, size)]}, (128, 128)))


def test_an_encoder_of_one_size_alone_is_told() -> None:
    with torch.device("meta"):
        method = create_method("simmim", create_encoder("timm:mixer_s32_224"))
    with pytest.raises(UserError, match=r"96×96 pixels do not go through the method simmim"):
        check_sizes_of(method, phases_of({"input_sizes": [(0.0, 96)]}, (224, 224)))


def test_a_pretraining_grows_its_images_and_costs_less(
    configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    before = MAE.losses

    def record(self: MAE, images: torch.Tensor, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append(images.shape[-1])
        return before(self, images, seeds)

    monkeypatch.setattr(MAE, "losses", record)
    whole = run(config_of(configs, *LARGER), tmp_path / "whole").metrics
    seen.clear()
    config = config_of(configs, *LARGER, SIZES)
    pretrain.check(config, "random")
    seen.clear()
    grown = run(config, tmp_path / "grown").metrics
    trained = seen[: len(seen) - 2]  # two are counted
    half = len(trained) // 2
    assert trained == [12] * half + [24] * half
    assert grown["pretrain/images"] == whole["pretrain/images"]
    assert grown["pretrain/petaflop"].value < 0.8 * whole["pretrain/petaflop"].value
