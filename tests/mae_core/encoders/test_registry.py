import pytest
import timm
import torch

from mae_core import UserError, create_encoder, create_model

IN_TIMM = {
    "vit-tiny-p16": "vit_tiny_patch16_224",
    "vit-small-p16": "vit_small_patch16_224",
    "vit-base-p16": "vit_base_patch16_224",
    "vit-large-p16": "vit_large_patch16_224",
    "vit-huge-p14": "vit_huge_patch14_224",
}


@pytest.mark.parametrize("arch", IN_TIMM)
def test_the_named_encoders_have_the_sizes_of_timms(arch: str) -> None:
    with torch.device("meta"):
        ours = create_encoder(arch)
        theirs = timm.create_model(IN_TIMM[arch], num_classes=0)
    shapes = {name: value.shape for name, value in ours.state_dict().items()}
    assert shapes == {name: value.shape for name, value in theirs.state_dict().items()}


def test_overrides_reach_encoder_and_decoder() -> None:
    mae = create_model("vit-micro-p6", img_size=12, depth=1, mask_ratio=0.5, decoder_width=16)
    assert mae.encoder.depth == 1
    assert mae.mask_ratio == 0.5
    assert mae.decoder.embed.out_features == 16


@pytest.mark.parametrize(
    ("fields", "nearest"), [({"mask_ration": 0.5}, "mask_ratio"), ({"widht": 48}, "width")]
)
def test_an_unknown_field_names_the_nearest(fields: dict[str, float], nearest: str) -> None:
    with pytest.raises(UserError, match=f"did you mean '{nearest}'"):
        create_model("vit-micro-p6", **fields)


def test_an_encoder_has_no_decoder_fields() -> None:
    with pytest.raises(UserError, match="the encoder has no field 'mask_ratio'"):
        create_encoder("vit-micro-p6", mask_ratio=0.5)


def test_initial_weights_follow_the_paper() -> None:
    """A.1: Xavier-uniform linear layers, the embedding as one of them; tokens as BEiT's."""
    torch.manual_seed(0)
    mae = create_model("vit-base-p16", depth=2, decoder_depth=1)
    linear = {n: m for n, m in mae.named_modules() if isinstance(m, torch.nn.Linear)}
    weights = {name: layer.weight.detach() for name, layer in linear.items()}
    weights["embedding"] = mae.encoder.patch_embed.proj.weight.detach().flatten(1)
    assert len(weights) == 4 * 3 + 3
    for name, weight in weights.items():
        bound = (6 / sum(weight.shape)) ** 0.5
        assert weight.abs().max() <= bound, name
        assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.01), name
        assert abs(weight.mean()) < 0.01 * bound, name
    assert all((layer.bias == 0).all() for layer in linear.values())
    norms = [m for m in mae.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert len(norms) == 2 * 3 + 2
    assert all((n.weight == 1).all() and (n.bias == 0).all() and n.eps == 1e-6 for n in norms)
    for token in (mae.encoder.cls_token, mae.decoder.mask_token):
        assert token.detach().std() == pytest.approx(0.02, rel=0.1)
