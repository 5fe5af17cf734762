from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from mmengine.optim import build_optim_wrapper
from timm.layers import resample_abs_pos_embed
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn

from mae_core import UserError, create_encoder
from mae_core.checkpoints import load_encoder, save_encoder
from mae_core.drop_path import DropPath, draw_paths
from mae_core.encoders.base import layer_ids
from mae_core.encoders.timm_parts import CONTAINERS
from mae_core.encoders.timm_zoo import TimmEncoder
from mae_core.engine import optim  # noqa: F401  registers the constructor
from tests.families import FAMILIES, spoil

CLASS_TOKEN = {"VisionTransformer", "Eva"}  # but for test_vit3, which averages


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda name: name.split(",")[0])
def pair(request: pytest.FixtureRequest) -> tuple[TimmEncoder, Any]:
    """An encoder and timm's own classifier, both with the same weights, none of them 0 or 1."""
    model, fields = FAMILIES[request.param]
    torch.manual_seed(0)
    encoder = TimmEncoder(model, **fields)
    spoil(encoder)
    sized = timm.get_pretrained_cfg(model).fixed_input_size
    own = timm.create_model(model, num_classes=5, **(fields if sized else {}))
    report = own.load_state_dict(encoder.model.state_dict(), strict=False)
    head = own.pretrained_cfg["classifier"]
    assert set(report.missing_keys) == {f"{head}.weight", f"{head}.bias"}
    assert not report.unexpected_keys
    return encoder.eval(), own.eval()


def images_of(size: tuple[int, int], number: int = 2) -> Tensor:
    return torch.randn(number, 3, *size, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_features_and_maps_are_timms_own(pair: tuple[TimmEncoder, Any]) -> None:
    encoder, own = pair
    images = images_of(encoder.img_size)
    features = own.forward_features(images)
    torch.testing.assert_close(encoder(images), features, atol=1e-5, rtol=1e-5)
    head = own.forward_head(features, pre_logits=True)
    torch.testing.assert_close(encoder.pooled(images, "own"), head, atol=1e-5, rtol=1e-5)
    if features.ndim == 3:
        mean = features[:, getattr(own, "num_prefix_tokens", 0) :].mean(dim=1)
    else:
        mean = features.mean(dim=[axis for axis in (1, 2, 3) if features.shape[axis] == 2])
    torch.testing.assert_close(encoder.pooled(images, "avg"), mean, atol=1e-5, rtol=1e-5)

    expected = own.forward_intermediates(images, intermediates_only=True, output_fmt="NCHW")
    maps = encoder.feature_maps(images, list(range(len(encoder.widths))))
    assert len(maps) == len(expected)
    for number, found in enumerate(maps):
        torch.testing.assert_close(found, expected[number], atol=1e-5, rtol=1e-5)
        sides = [side // encoder.strides[number] for side in encoder.img_size]
        assert found.shape == (2, encoder.widths[number], *sides)
        assert found.is_contiguous()
    some = encoder.feature_maps(images, [0, len(maps) - 1])
    assert torch.equal(some[0], maps[0]) and torch.equal(some[1], maps[-1])


@torch.inference_mode()
def test_every_pooling_has_the_width_it_says(pair: tuple[TimmEncoder, Any]) -> None:
    encoder, own = pair
    images, last = images_of(encoder.img_size), len(encoder.widths) - 1
    tokens = type(own).__name__ in CLASS_TOKEN and own.global_pool != "map"
    assert encoder.pools == ("avg", "own", *(("cls", "cls+avg", "last<n>") if tokens else ()))
    for name in encoder.pools:
        pool = name.replace("<n>", "2")
        for layer in (None, last) if pool == "own" else (None, last - 1, last):
            found = encoder.pooled(images, pool, layer=layer)
            assert found.shape == (2, encoder.pooled_width(pool, layer)), (pool, layer)
            assert not torch.equal(found[0], found[1])


def test_rates_and_decays_are_timms_for_every_parameter(pair: tuple[TimmEncoder, Any]) -> None:
    encoder, own = pair
    head = own.pretrained_cfg["classifier"]
    model = nn.Module()
    model.encoder, model.head = encoder, own.get_submodule(head)
    wrapper = build_optim_wrapper(
        model,
        {
            "type": "OptimWrapper",
            "constructor": "LayerDecayConstructor",
            "optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.05},
            "paramwise_cfg": {"layer_decay": 0.65},
        },
    )
    names = {id(value): name for name, value in model.named_parameters()}
    found = {}
    for group in wrapper.param_groups:
        for value in group["params"]:
            if id(value) in names:  # mmengine adds a group that only records the rate
                name = names[id(value)]
                if name.startswith("encoder.model."):
                    name = name.removeprefix("encoder.model.")
                else:
                    name = name.replace("head", head)
                found[name] = (group["lr"], group["weight_decay"])
    spared = own.no_weight_decay() if hasattr(own, "no_weight_decay") else ()
    names = {id(value): name for name, value in own.named_parameters()}
    expected = {}
    for group in param_groups_layer_decay(own, 0.05, spared, layer_decay=0.65):
        for value in group["params"]:
            expected[names[id(value)]] = (group["lr_scale"], group["weight_decay"])
    assert found.keys() == expected.keys()
    for name, rate in expected.items():
        assert found[name] == pytest.approx(rate), name


def test_blocks_are_whole_modules_with_a_forward(pair: tuple[TimmEncoder, Any]) -> None:
    encoder, _ = pair
    assert len(set(layer_ids(encoder).values())) > 2
    modules = encoder.block_modules()
    assert modules and not any(isinstance(one, nn.ModuleList) for one in modules)
    assert not any(type(one) in CONTAINERS for one in modules)
    loose = [one for part in encoder.parts() for one in part if isinstance(one, nn.Parameter)]
    weights = sum(value.numel() for value in encoder.parameters())
    assert sum(value.numel() for value in loose) < 0.1 * weights


def test_a_file_gives_back_every_bit(pair: tuple[TimmEncoder, Any], tmp_path: Path) -> None:
    encoder, _ = pair
    save_encoder(tmp_path / "a.safetensors", encoder)
    found = load_encoder(tmp_path / "a.safetensors").eval()
    assert isinstance(found, TimmEncoder) and found.config == encoder.config
    state = found.state_dict()
    assert state.keys() == encoder.state_dict().keys()
    for name, value in encoder.state_dict().items():
        assert torch.equal(state[name], value) and state[name].dtype == value.dtype, name
    images = images_of(encoder.img_size)
    with torch.inference_mode():
        assert torch.equal(found(images), encoder(images))


@torch.inference_mode()
def test_layers_are_normed_as_the_last_one_is() -> None:
    encoder = TimmEncoder("test_vit", 32).eval()
    spoil(encoder)
    images, blocks = images_of((32, 32)), []
    for block in encoder.model.blocks:
        block.register_forward_hook(lambda module, given, out: blocks.append(out))
    tokens = encoder(images)
    normed = [encoder.model.norm(out) for out in blocks]
    torch.testing.assert_close(normed[-1], tokens)
    close = torch.testing.assert_close
    close(encoder.pooled(images, "cls"), tokens[:, 0])
    close(encoder.pooled(images, "avg", layer=3), normed[3][:, 1:].mean(dim=1))
    close(encoder.pooled(images, "cls", layer=3), normed[3][:, 0])
    both = torch.cat([normed[2][:, 0], normed[2][:, 1:].mean(dim=1)], dim=1)
    close(encoder.pooled(images, "cls+avg", layer=2), both)
    last = torch.cat([normed[1][:, 0], both], dim=1)
    close(encoder.pooled(images, "last2", layer=2), last)


@pytest.mark.parametrize("model", ["swin_tiny_patch4_window7_224", "test_vit", "test_convnext"])
def test_the_last_map_comes_after_the_final_norm(model: str) -> None:
    encoder = create_encoder(f"timm:{model}", img_size=64).eval()
    spoil(encoder)
    images = images_of((64, 64))
    last = encoder.last_map(images)
    assert last.shape[2:] == (64 // encoder.strides[-1],) * 2
    torch.testing.assert_close(last.mean(dim=(2, 3)), encoder.pooled(images, "avg"))


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "vit_tiny_patch16_dinov3_qkvb", "eva02_tiny_patch14_224"]
)
@torch.inference_mode()
def test_maps_of_other_sizes_are_those_of_a_model_of_that_size(name: str) -> None:
    encoder = TimmEncoder(name, 112).eval()
    spoil(encoder)
    side = 112 // encoder.strides[0]
    own = TimmEncoder(name, (112, 224)).eval()
    state = encoder.state_dict()
    if "model.pos_embed" in state:
        state["model.pos_embed"] = resample_abs_pos_embed(
            state["model.pos_embed"], [side, 2 * side], [side, side], num_prefix_tokens=1
        )
    own.load_state_dict(state)
    images = images_of((112, 224))
    found, expected = (one.feature_maps(images, [1])[0] for one in (encoder, own))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert found.shape == (2, encoder.width, side, 2 * side)


PATHS = ("test_vit", "swin_tiny_patch4_window7_224", "test_maxvit", "hiera_tiny_224")
CONV_PATHS = ("convnextv2_atto", "tf_efficientnet_lite0", "mobilevit_xxs")


@pytest.mark.parametrize("model", PATHS + CONV_PATHS)
def test_stochastic_depth_is_drawn_for_each_image(model: str) -> None:
    """MobileViT and Swin have parts of images in a batch."""
    encoder = TimmEncoder(model, 64, drop_path=0.5).eval()
    paths = [one for one in encoder.modules() if isinstance(one, DropPath)]
    assert len({one.drop_prob for one in paths}) > 1
    for path in paths:
        path.train()
    images, seeds = images_of((64, 64), 6), torch.arange(6)
    with torch.inference_mode():
        draw_paths(encoder, seeds)
        whole = encoder.pooled(images)
        for start in (0, 3):
            draw_paths(encoder, seeds[start : start + 3])
            part = encoder.pooled(images[start : start + 3])
            torch.testing.assert_close(part, whole[start : start + 3], atol=1e-5, rtol=1e-5)
        draw_paths(encoder, seeds + 6)
        assert not torch.allclose(encoder.pooled(images), whole, atol=1e-4)


def test_the_same_seed_makes_the_same_weights_and_a_tag_chooses_the_preprocessing() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(create_encoder("timm:test_vit.r160_in1k", img_size=32).state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert not torch.equal(*(one["model.blocks.0.attn.qkv.weight"] for one in states[1:]))
    with torch.device("meta"):
        of_openai = create_encoder("timm:vit_base_patch16_clip_224.openai")
        of_dinov2 = create_encoder("timm:vit_small_patch14_reg4_dinov2.lvd142m")
    assert of_dinov2.img_size == of_dinov2.preprocessing.size == (518, 518)
    assert of_openai.preprocessing.mean[0] == pytest.approx(255 * 0.48145466)
    assert of_dinov2.preprocessing.crop_pct == 1.0
    assert all(value.is_meta for value in of_openai.state_dict().values())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "resnet_50"}, ["no model called 'resnet_50'", "resnet50"]),
        ({"model": "hf-hub:timm/resnet18"}, ["no model called"]),
        ({"model": "test_vit.of_mine"}, ["no weights called 'of_mine'", "r160_in1k"]),
        ({"model": "test_vit", "img_size": 50}, ["img_size=[50, 50]", "[160, 160]", "16"]),
        ({"model": "coat_tiny"}, ["coat_tiny ends in no features of places"]),
        ({"model": "efficientvim_m1"}, ["efficientvim_m1 ends in no features of places"]),
        ({"model": "hiera_tiny_224", "img_size": 48}, ["img_size=[48, 48]", "224"]),
        ({"model": "test_vit", "img_size": 0}, ["img_size=[0, 0]"]),
        ({"model": "test_vit", "in_chans": 0}, ["in_chans=0"]),
        ({"model": "test_vit", "drop_path": 1.0}, ["drop_path=1.0"]),
        ({"model": "vgg11", "drop_path": 0.1}, ["drop_path=0.1", "vgg11"]),
    ],
)
def test_what_timm_cannot_build_is_the_users_mistake(
    fields: dict[str, Any], words: list[str]
) -> None:
    with torch.device("meta"), pytest.raises(UserError) as error:
        TimmEncoder(**fields)
    assert all(word in str(error.value) for word in words), error.value
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("model", "pool", "layer", "words"),
    [
        ("resnet10t", "cls", None, "expected one of those that resnet10t has: avg, own"),
        ("test_vit3", "last2", None, "has: avg, own"),
        ("test_vit", "max", None, r"avg, own, cls, cls\+avg, last<n>"),
        ("test_vit", "own", 2, "layer=2"),
        ("test_vit", "avg", 6, "the layers 0 to 5"),
        ("test_vit", "last7", None, "there are 6 blocks"),
        ("test_vit", "last3", 1, "there are 2 blocks"),
    ],
)
def test_a_pooling_that_is_not_there_is_refused(
    model: str, pool: str, layer: int | None, words: str
) -> None:
    with torch.device("meta"):
        encoder = TimmEncoder(model, 32)
        with pytest.raises(UserError, match=words):
            encoder.pooled_width(pool, layer)
        with pytest.raises(UserError, match=words):
            encoder.pooled(torch.zeros(1, 3, 32, 32), pool, layer=layer)
