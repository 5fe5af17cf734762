from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from torch import Tensor
from torch.nn import functional as F

from mae_core import UserError, create_encoder, pretrain
from mae_core.checkpoints import load_encoder, read_metadata, read_state
from mae_core.config import load_config
from mae_core.data.normalize import Normalize
from mae_core.encoders.base import sees_batches
from mae_core.methods import create_method
from mae_core.methods.masked_pixels import MASK_GREY
from mae_core.methods.simmim import SimMIM
from mae_core.noise import uniform
from mae_core.patches import patchify
from mae_core.stage import SilentReporter
from tests.faults import arm

ENCODERS = {
    "ours": ("vit-micro-p6", {"patch_size": 8, "width": 32, "depth": 2, "heads": 2}),
    "plain ViT": ("timm:test_vit", {}),
    "Swin": ("timm:swin_tiny_patch4_window7_224", {}),
    "MLP-Mixer": ("timm:mixer_s32_224", {}),
    "ConvNeXt": ("timm:test_convnext", {}),
    "ResNet": ("timm:test_resnet", {}),
    "hybrid": ("timm:test_coatnet", {}),
}
NORMALIZE = Normalize([120.0] * 3, [60.0] * 3)
families = pytest.mark.parametrize("family", ENCODERS)


def method(family: str = "ours", img_size: int = 64, **fields: object) -> SimMIM:
    torch.manual_seed(0)
    arch, sizes = ENCODERS[family]
    made = create_method("simmim", create_encoder(arch, img_size=img_size, **sizes), **fields)
    assert isinstance(made, SimMIM)
    return made


def noise_of(simmim: SimMIM, images: Tensor) -> Tensor:
    return uniform(torch.arange(len(images)), simmim.grid[0] * simmim.grid[1])


def hidden_pixels(simmim: SimMIM, mask: Tensor) -> Tensor:
    """(N, 1, H, W) bool of masks (N, L)."""
    squares = mask.reshape(-1, 1, *simmim.grid)
    return F.interpolate(squares, scale_factor=float(simmim.mask_size)).bool()


@families
def test_masked_pixels_have_no_gradient_and_no_say_whatever_the_family(family: str) -> None:
    simmim = method(family)
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    noise = noise_of(simmim, images)
    out = simmim(images, noise)
    out.loss.backward()
    hidden = hidden_pixels(simmim, out.mask).expand_as(images)
    assert 0.5 < hidden.float().mean() < 0.7
    assert images.grad is not None
    assert (images.grad[hidden] == 0).all() and images.grad[~hidden].abs().sum() > 0
    simmim.eval()
    with torch.no_grad():
        changed = torch.where(hidden, torch.randn_like(images), images)
        assert torch.equal(simmim(changed, noise).pred, simmim(images, noise).pred)


@families
def test_the_loss_of_a_handful_of_images_falls(family: str) -> None:
    simmim, seeds = method(family), torch.arange(2)
    images = F.interpolate(torch.randn(2, 3, 4, 4), scale_factor=16.0)
    optimizer = torch.optim.Adam(simmim.parameters(), lr=1e-3, fused=True)
    losses = []
    for _ in range(8):
        loss = simmim.losses(images, seeds)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.98 * losses[0]


@families
def test_an_image_is_predicted_alike_in_any_batch_unless_norms_look_at_batches(
    family: str,
) -> None:
    simmim, images = method(family), torch.randn(3, 3, 64, 64)
    noise = noise_of(simmim, images)
    assert sees_batches(simmim) == (family in ("ResNet", "hybrid"))
    if sees_batches(simmim):
        simmim.eval()
    with torch.no_grad():
        together, alone = simmim(images, noise), simmim(images[2:], noise[2:])
    assert torch.equal(together.mask[2:], alone.mask)
    torch.testing.assert_close(together.pred[2:], alone.pred, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm_pix_loss", [False, True])
def test_the_loss_is_the_mean_difference_over_masked_pixels(norm_pix_loss: bool) -> None:
    simmim = method(norm_pix_loss=norm_pix_loss, mask_size=16, mask_ratio=0.5)
    images = 2 * torch.randn(3, 3, 64, 64) + 1
    out = simmim(images, noise_of(simmim, images))
    assert out.mask.sum(dim=1).tolist() == [8.0] * 3
    target = patchify(images, 16)
    if norm_pix_loss:
        target = target - target.mean(dim=-1, keepdim=True)
        target = target / (target.var(dim=-1, keepdim=True) + 1e-6).sqrt()
    differences = (patchify(out.pred, 16) - target).abs()
    torch.testing.assert_close(out.loss, differences[out.mask.bool()].mean())


def test_a_place_of_the_map_predicts_its_own_pixels() -> None:
    simmim = method()
    features = torch.randn(1, 32, 8, 8)
    changed = features.clone()
    changed[..., 3, 5] += 1
    with torch.no_grad():
        differs = (simmim.head(changed) != simmim.head(features)).any(dim=1)[0]
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[24:32, 40:48] = True
    assert torch.equal(differs, inside)


@pytest.mark.parametrize(("fill", "learns"), [("learned", True), ("mean", False)])
def test_masked_pixels_are_the_mean_until_a_fill_was_learnt(fill: str, learns: bool) -> None:
    simmim, seen = method(fill=fill), []
    whole = simmim.encoder.last_map

    def look(images: Tensor) -> Tensor:
        seen.append(images)
        return whole(images)

    simmim.encoder.last_map = look  # type: ignore[method-assign]
    images = torch.randn(2, 3, 64, 64)
    out = simmim(images, noise_of(simmim, images))
    hidden = hidden_pixels(simmim, out.mask)
    assert torch.equal(seen[0], torch.where(hidden, torch.zeros(()), images))
    out.loss.backward()
    assert (simmim.head.fill.grad is not None) == learns
    simmim.head.fill.data = torch.tensor([1.0, 2.0, 3.0])
    simmim(images, noise_of(simmim, images))
    assert (seen[1][:, 1] == 2.0)[hidden[:, 0]].all()


@pytest.mark.parametrize(
    ("family", "img_size", "side"),
    [("ours", 64, 8), ("ours", 24, 4), ("Swin", 64, 16), ("Swin", 128, 32), ("Swin", 32, 8)],
)
def test_masked_squares_are_the_last_stride_or_a_quarter_of_the_image(
    family: str, img_size: int, side: int
) -> None:
    assert method(family, img_size).mask_size == side


def test_the_picture_hides_masked_squares_and_pastes_predictions_there() -> None:
    simmim = method(norm_pix_loss=False)
    pixels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    rows = simmim.picture(pixels, NORMALIZE, seed=1)
    assert [*rows] == ["original", "60% masked", "60% masked: predicted", "60% masked: pasted"]
    original, masked, predicted, pasted = (patchify(row, 8) for row in rows.values())
    hidden = (masked == int(255 * MASK_GREY)).all(dim=-1)
    assert hidden.sum(dim=1).tolist() == [39] * 3  # of 64, 25 stay
    assert torch.equal(masked[~hidden], original[~hidden])
    assert torch.equal(pasted[~hidden], original[~hidden])
    assert torch.equal(pasted[hidden], predicted[hidden])
    again = simmim.picture(pixels, NORMALIZE, seed=1)
    assert all(torch.equal(again[name], row) for name, row in rows.items())
    assert not torch.equal(simmim.picture(pixels, NORMALIZE, 2)["60% masked"], rows["60% masked"])


def test_a_normalised_prediction_is_drawn_with_each_squares_mean_and_deviation() -> None:
    simmim = method(norm_pix_loss=True)
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    patches = patchify(NORMALIZE.images(pixels), 8)
    normed = (patches - patches.mean(-1, keepdim=True)) / patches.std(-1, keepdim=True)
    perfect = normed.reshape(2, 8, 8, 8, 8, 3).permute(0, 5, 1, 3, 2, 4).reshape(2, 3, 64, 64)
    simmim.head.forward = lambda features: perfect  # type: ignore[method-assign]
    assert torch.equal(simmim.picture(pixels, NORMALIZE)["60% masked: predicted"], pixels)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mask_ratio": 0.0}, "mask_ratio 0.0 masks none of 64 squares"),
        ({"mask_ratio": 1.0}, "mask_ratio 1.0 leaves 0 of 64 patches visible"),
        ({"mask_ratio": "0.6"}, "mask_ratio='0.6': expected a number"),
        ({"mask_size": 12}, "mask_size=12: .* 64×64 pixels, which 2, 4, 8, 16, 32 do"),
        ({"mask_size": 64}, "mask_size=64: the image is 1 such square"),
        ({"mask_size": 0}, "mask_size=0: expected a whole number"),
        ({"mask_size": 8.0}, r"mask_size=8\.0: expected a whole number"),
        ({"masking": "blocks"}, "no masking is called 'blocks': did you mean 'block'"),
        ({"fill": "means"}, "no fill is called 'means': did you mean 'mean'"),
        ({"mask_rato": 0.6}, "method simmim has no field 'mask_rato': .* 'mask_ratio'"),
        ({"family": "ResNet", "img_size": 40, "mask_size": 8}, "2×2 places of 32×32 .* multiples"),
    ],
)
def test_values_that_do_not_fit_say_so(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        method(**fields)


def test_an_encoder_without_weights_to_train_is_refused() -> None:
    with pytest.raises(UserError, match="method simmim needs an encoder that has weights"):
        create_method("simmim", create_encoder("pixels", img_size=32))


def config_of(configs: Path, *overrides: str) -> Config:
    config = load_config(str(configs / "pretrain.py"), overrides=["method=simmim", *overrides])
    config.simmim = {"norm_pix_loss": True}
    return config


def test_a_config_is_checked_before_training(configs: Path) -> None:
    pretrain.check(config_of(configs), "random")
    odd = config_of(configs)
    odd.simmim.mask_size = 5
    with pytest.raises(UserError, match=r"mask_size=5: .* 12×12 pixels, which 2, 3, 4, 6 do"):
        pretrain.check(odd, "random")
    odd = config_of(configs)
    odd.encoder = {"arch": "timm:test_resnet", "img_size": 12, "in_chans": 3}
    with pytest.raises(UserError, match="choose an img_size of multiples of 32"):
        pretrain.check(odd, "random")


def test_the_stage_trains_it_writes_both_files_and_resumes_exactly(
    configs: Path, tmp_path: Path
) -> None:
    config = config_of(configs, "train_cfg.max_epochs=2")
    MessageHub._instance_dict.clear()  # as in a new process
    whole = pretrain.run(config, "random", tmp_path / "whole", SilentReporter())
    MessageHub._instance_dict.clear()
    assert whole.artifacts.keys() == {"simmim", "reconstruction"}
    assert load_encoder(str(whole.checkpoint)).width == 16
    assert read_metadata(whole.artifacts["simmim"])["simmim"]["mask_size"] == 3
    arm(configs / "pretrain.fault", "raise", 6)
    with pytest.raises(RuntimeError, match="the device is gone"):
        pretrain.run(config, "random", tmp_path / "broken", SilentReporter())
    MessageHub._instance_dict.clear()
    resumed = pretrain.run(config, "random", tmp_path / "broken", SilentReporter())
    one, other = (read_state(result.artifacts["simmim"]) for result in (whole, resumed))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
