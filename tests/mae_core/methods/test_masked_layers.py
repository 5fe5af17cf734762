import copy
from collections.abc import Iterator
from typing import Any

import pytest
import timm
import torch
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from timm.layers import AvgPool2dSame, Conv2dSame, GlobalResponseNormMlp
from torch import Tensor, nn
from torch.nn import functional as F

from mae_core import UserError
from mae_core.encoders.timm_zoo import TimmEncoder
from mae_core.methods.masked_layers import (
    Visible,
    channels_last,
    check_layers,
    masked,
    outermost,
    rule_of,
)
from tests.families import spoil

GRID = 3, 4
TINY = {"layers": [1, 1, 1, 1], "channels": [8, 16, 32, 64]}
THIN = {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}
MODELS: dict[str, dict[str, Any]] = {
    "test_resnet": {},
    "resnet18": {"options": TINY},
    "resnet26d": {"options": TINY},  # pools what it shortens
    "resnetaa50": {"options": TINY},  # pools after convolutions, too
    "resnetblur18": {"options": TINY},
    "resnet26t": {"options": {**TINY, "output_stride": 16}},
    "test_convnext": {},
    "test_convnext2": {},
    "test_convnext3": {},
    "convnext_tiny": {"options": THIN},  # with channels last
    "convnext_zepto_rms_ols": {"options": THIN},
    "convnextv2_atto": {"options": {**THIN, "patch_size": 1}},
    "convnextv2_tiny": {"options": {**THIN, "output_stride": 16}},
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module", params=MODELS)
def encoder(request: pytest.FixtureRequest) -> TimmEncoder:
    """One of each kind of layer, with weights and statistics that are neither 0 nor 1."""
    torch.manual_seed(0)
    found = TimmEncoder(request.param, (64, 96), **MODELS[request.param])
    spoil(found)
    return found.double().eval()


def patches_of(grid: tuple[int, int] = GRID, number: int = 2, hidden: int = 7) -> Tensor:
    """(N, h, w) bool with as many hidden in each image."""
    order = torch.rand(number, grid[0] * grid[1]).argsort(dim=1)
    return (order >= hidden).unflatten(1, grid)


def grid_of(encoder: TimmEncoder) -> tuple[int, int]:
    return 64 // encoder.strides[-1], 96 // encoder.strides[-1]


def spread(patches: Tensor, height: int, width: int) -> Tensor:
    """(N, 1, height, width) bool of patches, by another way than the source's."""
    size = height, width
    return F.interpolate(patches.unsqueeze(1).double(), size=size, mode="nearest").bool()


def apply(module: nn.Module, visible: Visible, x: Tensor) -> Tensor:
    with masked(module, visible):
        return module(x)


def windows(
    x: Tensor, kernel: tuple[int, int], stride: int, dilation: int, before: tuple[int, int]
) -> Iterator[tuple[int, int, list[tuple[int, int, int, int]]]]:
    """Each place of the output with the taps of its window that lie on the input."""
    height, width = x.shape[2:]
    for i in range(height // stride):
        for j in range(width // stride):
            taps = []
            for a in range(kernel[0]):
                for b in range(kernel[1]):
                    row = i * stride - before[0] + a * dilation
                    column = j * stride - before[1] + b * dilation
                    if 0 <= row < height and 0 <= column < width:
                        taps.append((a, b, row, column))
            yield i, j, taps


def submanifold(conv: nn.Conv2d, x: Tensor, patches: Tensor, before: tuple[int, int]) -> Tensor:
    """At each visible place the sum over its window's visible ones; nothing anywhere else."""
    n, _, height, width = x.shape
    stride = conv.stride[0]
    out = x.new_zeros(n, conv.out_channels, height // stride, width // stride)
    seen, kept = spread(patches, height, width), spread(patches, *out.shape[2:])
    group_in, group_out = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    for i, j, taps in windows(x, conv.kernel_size, stride, conv.dilation[0], before):
        for image in range(n):
            if not kept[image, 0, i, j]:
                continue
            total = torch.zeros(conv.out_channels, dtype=x.dtype)
            if conv.bias is not None:
                total += conv.bias
            for a, b, row, column in taps:
                if not seen[image, 0, row, column]:
                    continue
                for channel in range(conv.out_channels):
                    first = channel // group_out * group_in
                    values = x[image, first : first + group_in, row, column]
                    total[channel] += conv.weight[channel, :, a, b] @ values
            out[image, :, i, j] = total
    return out


CONVOLUTIONS = {
    "3x3": (nn.Conv2d, {"kernel_size": 3, "padding": 1}, 1),
    "3x3, stride 2": (nn.Conv2d, {"kernel_size": 3, "padding": 1, "stride": 2}, 1),
    "7x7, stride 2, ResNet's first": (
        nn.Conv2d,
        {"kernel_size": 7, "padding": 3, "stride": 2, "bias": False},
        3,
    ),
    "7x7, depthwise": (nn.Conv2d, {"kernel_size": 7, "padding": 3, "groups": 4}, 3),
    "3x3, groups, stride 2": (
        nn.Conv2d,
        {"kernel_size": 3, "padding": 1, "groups": 2, "stride": 2},
        1,
    ),
    "3x3, dilated": (nn.Conv2d, {"kernel_size": 3, "padding": 2, "dilation": 2}, 2),
    "2x2, stride 2, ConvNeXt's": (nn.Conv2d, {"kernel_size": 2, "stride": 2}, 0),
    "4x4, stride 4, ConvNeXt's first": (nn.Conv2d, {"kernel_size": 4, "stride": 4}, 0),
    "1x1": (nn.Conv2d, {"kernel_size": 1}, 0),
    "1x1, stride 2": (nn.Conv2d, {"kernel_size": 1, "stride": 2, "bias": False}, 0),
    "3x3, stride 2, same": (Conv2dSame, {"kernel_size": 3, "stride": 2}, 0),
    "2x2, same": (Conv2dSame, {"kernel_size": 2}, 0),
}


@torch.no_grad()
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_masked_convolution_is_a_submanifold_one(name: str) -> None:
    kind, fields, before = CONVOLUTIONS[name]
    conv = kind(4, 8, **fields).double()
    patches = patches_of()
    x = torch.randn(2, 4, 12, 16, dtype=torch.float64)
    visible = Visible(patches)
    found = apply(conv, visible, visible.only(x))
    expected = submanifold(conv, x, patches, (before, before))
    assert expected.abs().sum() > 0
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    assert (found == 0).all(dim=1).logical_or(spread(patches, *found.shape[2:])[:, 0]).all()


def test_batch_norms_statistics_are_those_of_the_visible_places() -> None:
    norm = nn.BatchNorm2d(3, momentum=0.3).double().train()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    reference, patches = copy.deepcopy(norm), patches_of()
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64) + 5
    x.requires_grad_()
    visible = Visible(patches)
    found = apply(norm, visible, visible.only(x))
    rows = x.permute(0, 2, 3, 1)[spread(patches, 6, 8)[:, 0]]
    mean, var = rows.mean(dim=0), rows.var(dim=0, unbiased=False)
    scale = reference.weight / (var + reference.eps).sqrt()
    expected = ((x.permute(0, 2, 3, 1) - mean) * scale + reference.bias).permute(0, 3, 1, 2)
    expected = expected * spread(patches, 6, 8)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(norm.running_mean, 0.3 * mean)
    torch.testing.assert_close(norm.running_var, 0.7 + 0.3 * rows.var(dim=0))
    assert norm.num_batches_tracked == 1
    direction = torch.randn_like(found)
    gradients = [torch.autograd.grad((one * direction).sum(), x)[0] for one in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=0)
    norm.eval()
    out = apply(norm, visible, visible.only(x))
    torch.testing.assert_close(out, norm(x) * spread(patches, 6, 8), atol=1e-10, rtol=0)


POOLS = {
    "max": (nn.MaxPool2d(3, stride=2, padding=1), 3, 2, 1),
    "mean": (nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False), 2, 2, 0),
    "mean, windows over borders of patches": (nn.AvgPool2d(3, 1, 1, False, False), 3, 1, 1),
}


@pytest.mark.parametrize("name", POOLS)
def test_pooling_takes_the_visible_places(name: str) -> None:
    pool, kernel, stride, before = POOLS[name]
    patches = patches_of()
    x = torch.randn(2, 5, 12, 16, dtype=torch.float64) - 3  # a masked 0 would be the largest
    visible = Visible(patches)
    found = apply(pool, visible, visible.only(x))
    seen, kept = spread(patches, 12, 16), spread(patches, *found.shape[2:])
    expected = torch.zeros_like(found)
    for i, j, taps in windows(x, (kernel, kernel), stride, 1, (before, before)):
        for image in range(2):
            places = [(r, c) for _, _, r, c in taps if seen[image, 0, r, c]]
            if kept[image, 0, i, j]:
                values = torch.stack([x[image, :, r, c] for r, c in places])
                large = name == "max"
                expected[image, :, i, j] = values.amax(dim=0) if large else values.mean(dim=0)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("pool", [AvgPool2dSame(2, 1), nn.AvgPool2d(3, 2, 1), nn.AvgPool2d(2)])
def test_pooling_with_nothing_masked_is_timms(pool: nn.Module) -> None:
    x = torch.randn(2, 5, 12, 16)
    found = apply(pool, Visible(torch.ones(2, *GRID, dtype=torch.bool)), x)
    torch.testing.assert_close(found, pool(x), atol=0, rtol=0)


@pytest.mark.parametrize("convolutions", [True, False])
def test_response_norm_is_that_of_each_images_own_visible_places(convolutions: bool) -> None:
    mlp = GlobalResponseNormMlp(6, 10, use_conv=convolutions).double()
    for parameter in mlp.parameters():
        nn.init.normal_(parameter)
    patches = patches_of()
    x = torch.randn(2, 6, 6, 8, dtype=torch.float64)
    visible = Visible(patches)
    given = visible.only(x)
    found = apply(mlp, visible, given if convolutions else given.permute(0, 2, 3, 1))
    found = found if convolutions else found.permute(0, 3, 1, 2)
    first, second = mlp.fc1.weight.flatten(1), mlp.fc2.weight.flatten(1)
    for image in range(2):
        kept = spread(patches, 6, 8)[image, 0]
        rows = F.gelu(first @ x[image][:, kept] + mlp.fc1.bias[:, None])  # (C, K)
        size = rows.square().sum(dim=1).sqrt()
        share = size / (size.mean() + 1e-6)
        rows = mlp.grn.weight[:, None] * rows * share[:, None] + mlp.grn.bias[:, None] + rows
        expected = second @ rows + mlp.fc2.bias[:, None]
        torch.testing.assert_close(found[image][:, kept], expected, atol=1e-10, rtol=0)
        assert (found[image][:, ~kept] == 0).all()


def test_images_have_as_many_visible_patches() -> None:
    patches = torch.tensor([[[True, False]], [[True, True]]])
    with pytest.raises(ValueError, match=r"other numbers of visible patches: \[1, 2\]"):
        Visible(patches)


@torch.no_grad()
@pytest.mark.parametrize("training", [False, True])
def test_no_layer_sees_a_masked_pixel_and_each_is_zero_where_masked(
    encoder: TimmEncoder, training: bool
) -> None:
    encoder = copy.deepcopy(encoder).train(training)
    grid = grid_of(encoder)
    patches = patches_of(grid, hidden=grid[0] * grid[1] - 2)
    seen = spread(patches, 64, 96)
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    others = torch.where(seen, images, torch.full_like(images, torch.nan))
    outputs: list[Tensor] = []

    def keep(module: nn.Module, given: Any, out: Tensor) -> None:
        inner = isinstance(getattr(module, "fc1", None), nn.Linear)
        last = rule_of(module) is channels_last or inner
        outputs.append(out.permute(0, 3, 1, 2).clone() if last else out.clone())

    for _, module in outermost(encoder.model):
        if rule_of(module) is not None:
            module.register_forward_hook(keep)
    layers = list(range(len(encoder.widths)))
    found = []
    for given in (images, others):
        visible = Visible(patches)
        with masked(encoder, visible):
            found.append(encoder.feature_maps(visible.only(given), layers))
    first, second = outputs[: len(outputs) // 2], outputs[len(outputs) // 2 :]
    assert len(first) > 10
    for one, other in zip([*first, *found[0]], [*second, *found[1]], strict=True):
        assert torch.equal(one, other)
        kept = spread(patches, *one.shape[2:])
        assert (one.masked_select(~kept) == 0).all()
        assert one.masked_select(kept).abs().sum() > 0


@torch.no_grad()
def test_with_nothing_masked_the_features_are_timms(encoder: TimmEncoder) -> None:
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    visible = Visible(torch.ones(2, *grid_of(encoder), dtype=torch.bool))
    own = timm.create_model(
        encoder.config["model"], num_classes=0, **encoder.config.get("options", {})
    )
    own.load_state_dict(encoder.model.state_dict())
    expected = own.double().eval().forward_features(images)
    with masked(encoder, visible):
        assert torch.equal(encoder(visible.only(images)), expected)
    assert torch.equal(encoder(images), expected)
    assert not any("forward" in module.__dict__ for module in encoder.modules())
    trained = copy.deepcopy(encoder).train()
    with masked(trained, visible):
        found = trained(visible.only(images))
    torch.testing.assert_close(found, own.train().forward_features(images), atol=1e-9, rtol=0)
    for key, value in own.state_dict().items():
        torch.testing.assert_close(trained.model.state_dict()[key], value, atol=1e-9, rtol=0)


@torch.no_grad()
def test_an_images_features_do_not_depend_on_its_batch(encoder: TimmEncoder) -> None:
    norms = any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules())
    encoder = copy.deepcopy(encoder).train(not norms)
    images, patches = (
        torch.randn(3, 3, 64, 96, dtype=torch.float64),
        patches_of(grid_of(encoder), 3, 3),
    )

    def features(chosen: slice) -> Tensor:
        visible = Visible(patches[chosen])
        with masked(encoder, visible):
            return encoder(visible.only(images[chosen]))

    whole = features(slice(None))
    torch.testing.assert_close(features(slice(1, 2)), whole[1:2], atol=1e-12, rtol=0)


@pytest.mark.parametrize("model", ["test_resnet", "test_convnext2"])
def test_activation_checkpointing_masks_the_second_time_too(model: str) -> None:
    encoder = TimmEncoder(model, (64, 96)).double().train()
    images, patches = torch.randn(2, 3, 64, 96, dtype=torch.float64), patches_of((2, 3), hidden=3)
    inner = "layer2.0" if model == "test_resnet" else "stages.1.blocks.0"
    other = copy.deepcopy(encoder)
    turn_on_activation_checkpointing(other.model, [inner])
    calls = []
    conv = next(m for m in other.model.get_submodule(inner).modules() if isinstance(m, nn.Conv2d))
    conv.register_forward_hook(lambda module, given, out: calls.append(out))
    gradients = []
    for one in (encoder, other):
        visible = Visible(patches)
        with masked(one, visible):
            loss = one(visible.only(images)).square().mean()
        loss.backward()
        gradients.append([p.grad for p in one.parameters() if p.grad is not None])
    assert len(calls) == 2
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_a_model_is_timms_again_after_an_error() -> None:
    encoder = TimmEncoder("test_convnext", 64)
    with (
        pytest.raises(RuntimeError, match="the device is gone"),
        masked(encoder, Visible(torch.ones(1, 2, 2, dtype=torch.bool))),
    ):
        raise RuntimeError("the device is gone")
    assert not any("forward" in module.__dict__ for module in encoder.modules())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("seresnet50", r"this ResNet has the layer layer1.0.se, a SEModule"),
        ("resnet50_gn", r"has the layer bn1, a GroupNorm"),
        ("regnety_002", r"this RegNet is a RegNet"),
        ("vit_tiny_patch16_224", r"this VisionTransformer is a VisionTransformer.*convnextv2_atto"),
    ],
)
def test_a_layer_that_cannot_be_masked_is_named(model: str, message: str) -> None:
    with torch.device("meta"):
        found = timm.create_model(model)
    with pytest.raises(UserError, match=message):
        check_layers(found, "the method fcmae")
