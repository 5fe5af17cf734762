import pytest
import torch

from mae_core.encoders import Encoder, create_encoder
from mae_core.encoders.cost import flops_of, parameters_of

TINY = {"img_size": 12, "patch_size": 6, "width": 16, "depth": 3, "heads": 2}


def on_meta(arch: str, **fields: object) -> Encoder:
    with torch.device("meta"):
        return create_encoder(arch, **fields)


def test_a_vits_count_is_that_of_its_matrix_products() -> None:
    patches, tokens, width = 4, 5, 16
    linear = 12 * width * width  # query, key, value, projection, and an MLP of four times the width
    embedding = patches * (3 * 6 * 6) * width
    attention = 2 * tokens * tokens * width  # products of queries and keys, and with values
    assert flops_of(on_meta("vit-micro-p6", **TINY)) == 2 * (
        embedding + 3 * (tokens * linear + attention)
    )


def test_an_architecture_as_published_has_its_published_size() -> None:
    encoder = on_meta("vit-base-p16")
    assert parameters_of(encoder) == 85_798_656  # timm's vit_base_patch16_224 without its head
    assert flops_of(encoder) / 2e9 == pytest.approx(
        17.58, rel=0.005
    )  # multiply-adds, as timm has them


def test_counting_leaves_the_encoder_as_it_was() -> None:
    encoder = create_encoder("vit-micro-p6", **TINY)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    assert flops_of(encoder.train()) > 0
    assert encoder.training
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())


def test_a_larger_image_costs_more_and_the_attention_in_it_more_than_that() -> None:
    small, large = (flops_of(on_meta("vit-micro-p6", **{**TINY, "img_size": s})) for s in (12, 48))
    tokens = (64 + 1) / (4 + 1)
    assert large > tokens * small
