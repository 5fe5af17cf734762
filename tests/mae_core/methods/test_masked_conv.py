from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor

from mae_core import UserError, create_encoder, pretrain
from mae_core.checkpoints import load_encoder, read_metadata, read_state
from mae_core.config import load_config
from mae_core.data.normalize import Normalize
from mae_core.methods import create_method
from mae_core.methods.masked_conv import MaskedConv
from mae_core.methods.masked_pixels import MASK_GREY
from mae_core.noise import uniform
from mae_core.patches import patchify, unpatchify
from mae_core.stage import SilentReporter, StageResult
from tests.families import SMALL_HIERA
from tests.faults import arm
from tests.ramps import loss_of_ramps
from tests.tiny import write_configs, write_images

SMALL = {"patch_size": 1, "depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}  # strides 1 to 8
OPTIONS = {
    "convnextv2_atto": SMALL,
    "resnet18": {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]},
    "hiera_tiny_224": SMALL_HIERA,
}
NORMALIZE = Normalize([120.0] * 3, [60.0] * 3)
METHODS = {
    "fcmae": {"decoder_width": 16},
    "spark": {"decoder_width": 64},
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def model(
    name: str, arch: str = "convnextv2_atto", size: Any = 32, options: Any = SMALL, **fields: Any
) -> MaskedConv:
    encoder = create_encoder(f"timm:{arch}", img_size=size, options=options)
    found = create_method(name, encoder, **{**METHODS[name], **fields})
    assert isinstance(found, MaskedConv)
    return found


def hidden_pixels(mask: Tensor, size: int, height: int, width: int) -> Tensor:
    """(N, 3, H, W) bool of a mask (N, L)."""
    patches = mask.unsqueeze(-1).expand(-1, -1, 3 * size * size)
    return unpatchify(patches, size, height, width).bool()


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("name", METHODS)
def test_the_loss_is_that_of_the_masked_patches_pixels(name: str, normalised: bool) -> None:
    method = model(name, norm_pix_loss=normalised, size=(32, 48))
    images = torch.randn(3, 3, 32, 48)
    out = method(images, torch.rand(3, 24))
    assert out.pred.shape == (3, 24, 192) and out.mask.sum(dim=1).tolist() == [15] * 3
    target = patchify(images, 8)
    if normalised:
        deviation = target.std(dim=-1, keepdim=True)
        target = (target - target.mean(dim=-1, keepdim=True)) / deviation
    expected = (out.pred - target).square().mean(dim=-1)[out.mask.bool()].mean()
    torch.testing.assert_close(out.loss, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_no_prediction_depends_on_a_masked_pixel(name: str) -> None:
    method = model(name).eval()
    images, noise = torch.randn(2, 3, 32, 32), torch.rand(2, 16)
    first = method(images, noise)
    hidden = hidden_pixels(first.mask, 8, 32, 32)
    others = torch.where(hidden, torch.randn_like(images), images)
    second = method(others, noise)
    assert torch.equal(first.pred, second.pred) and first.loss != second.loss
    seen = torch.where(hidden, images, torch.randn_like(images))
    assert not torch.equal(method(seen, noise).pred, first.pred)


@pytest.mark.parametrize("name", METHODS)
def test_every_weight_learns_but_the_norm_before_the_classifier(name: str) -> None:
    method = model(name)
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    method.losses(torch.randn(2, 3, 32, 32), torch.arange(2))["loss"].backward()
    without = {n for n, p in method.named_parameters() if p.grad is None or not p.grad.any()}
    assert without <= {f"encoder.model.head.norm.{part}" for part in ("weight", "bias")}


@pytest.mark.parametrize("name", METHODS)
def test_an_image_is_masked_by_its_seed_and_its_loss_is_its_own(name: str) -> None:
    """So a batch may be spread over steps and devices."""
    method, images = model(name), torch.randn(3, 3, 32, 32)
    seeds = torch.tensor([5, 7, 5])
    whole = method.losses(images, seeds)["loss"]
    alone = [method.losses(images[i : i + 1], seeds[i : i + 1])["loss"] for i in range(3)]
    torch.testing.assert_close(torch.stack(alone).mean(), whole)
    mask = method(images, uniform(seeds, 16)).mask
    assert torch.equal(mask[0], mask[2]) and not torch.equal(mask[0], mask[1])


@pytest.mark.parametrize("name", METHODS)
def test_without_masks_all_patches_count(name: str) -> None:
    method, images = model(name, mask_ratio=0, norm_pix_loss=False), torch.randn(2, 3, 32, 32)
    out = method(images, torch.rand(2, 16))
    assert out.mask.sum() == 0
    torch.testing.assert_close(out.loss, (out.pred - patchify(images, 8)).square().mean())


@pytest.mark.parametrize("name", METHODS)
def test_a_picture_shows_masks_predictions_and_what_was_visible(name: str) -> None:
    method = model(name)
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    rows = method.picture(pixels, NORMALIZE, 1)
    assert list(rows) == ["original", "60% masked", "60% masked: predicted", "60% masked: pasted"]
    original, masked, predicted, pasted = (patchify(row, 8) for row in rows.values())
    hidden = (masked == int(255 * MASK_GREY)).all(dim=-1)
    assert hidden.sum(dim=1).tolist() == [10] * 3
    assert torch.equal(pasted[hidden], predicted[hidden])
    assert torch.equal(pasted[~hidden], original[~hidden])
    again = method.picture(pixels, NORMALIZE, 1)
    assert all(torch.equal(again[key], row) for key, row in rows.items())
    assert not torch.equal(method.picture(pixels, NORMALIZE, 2)["60% masked"], rows["60% masked"])


def test_compiling_leaves_the_masks_alone() -> None:
    method, images = model("fcmae"), torch.randn(2, 3, 32, 32)
    before = method.losses(images, torch.arange(2))["loss"]
    method.compile(backend="eager")
    torch.testing.assert_close(method.losses(images, torch.arange(2))["loss"], before)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"mask_ratio": 0.95},
            r"mask_ratio 0.95 leaves 0 of 16 patches visible: choose 0",
        ),
        ({"mask_ratio": -0.1}, r"mask_ratio -0.1 leaves 17 of 16"),
        ({"mask_ratio": float("nan")}, r"mask_ratio nan leaves 0 of 16"),
        ({"mask_ratio": "half"}, r"mask_ratio='half': expected a number"),
        ({"decoder_width": 0}, r"decoder_width=0: expected a whole number from 1"),
        ({"decoder_widht": 8}, r"the method fcmae has no field 'decoder_widht': did you mean"),
        ({"options": None}, r"squares of 32 pixels.* images of 32×32 have 1: choose a larger"),
        ({"options": None, "size": 80}, r"an image of 80×80 pixels cannot be cut .* of 32"),
        ({"arch": "seresnet50", "options": None, "size": 64}, r"the layer layer1.0.se, a SEModule"),
        ({"arch": "resnet50", "options": {"layer": [1]}}, r"did you mean 'layers'"),
    ],
)
def test_what_does_not_do_is_said_before_training(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message), torch.device("meta"):
        model("fcmae", **fields)


def test_other_families_are_sent_to_convnets() -> None:
    with pytest.raises(UserError, match=r"the method spark is for ConvNets.*'vit'"):
        create_method("spark", create_encoder("vit-micro-p6", img_size=12))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def config_of(folder: Path, images: Path, name: str, arch: str, *overrides: str) -> Config:
    """The tiny pretraining with a ConvNet or Hiera of few pixels."""
    base = write_configs(folder / "configs", images) / "pretrain.py"
    options = OPTIONS[arch]
    size = 16 if arch != "resnet18" else 64
    sized = f"transform=dict(input_size={size})"
    path = folder / "configs" / f"{name}.py"
    path.write_text(
        f"_base_ = '{base}'\nmethod = '{name}'\n"
        f"{name} = dict(mask_ratio=0.5, decoder_width={256 if name == 'spark' else 16})\n"
        f"encoder = dict(_delete_=True, arch='timm:{arch}', img_size={size}, in_chans=3, "
        f"options={options})\ntrain_dataloader = dict(dataset=dict({sized}))\n"
        f"preview = dict({sized})\ntrain_cfg = dict(max_epochs=2)\n"
    )
    return load_config(str(path), overrides=overrides)


def run(config: Config, folder: Path, start: str = "random") -> StageResult:
    folder.mkdir(parents=True, exist_ok=True)
    pretrain.check(config, start)
    return pretrain.run(config, start, folder, SilentReporter())


CASES = [("fcmae", "convnextv2_atto"), ("spark", "resnet18"), ("hiera", "hiera_tiny_224")]


@pytest.mark.parametrize(("name", "arch"), CASES)
def test_an_encoder_is_pretrained_and_loads_as_timms_dense_model(
    name: str, arch: str, images: Path, tmp_path: Path
) -> None:
    config = config_of(tmp_path, images, name, arch)
    result = run(config, tmp_path / "work")
    assert set(result.artifacts) == {"reconstruction", name}
    encoder = load_encoder(str(result.checkpoint)).eval()
    assert encoder.config["options"] == config.encoder.options
    fresh = create_encoder(**config.encoder)
    batch = torch.randn(2, 3, *encoder.img_size)
    fresh.model.load_state_dict(encoder.model.state_dict())
    assert torch.equal(encoder(batch), fresh.eval().model.forward_features(batch))
    assert not any("forward" in module.__dict__ for module in encoder.modules())
    about = read_metadata(result.artifacts[name])
    assert about[name]["mask_ratio"] == 0.5 and about["family"] == "timm"
    assert torch.equal(load_encoder(result.artifacts[name]).eval()(batch), encoder(batch))
    if arch == "resnet18":  # statistics are those that training saw
        assert encoder.model.bn1.num_batches_tracked > 0


@pytest.mark.parametrize(("name", "arch"), CASES)
def test_a_training_that_is_broken_off_and_resumed_ends_the_same(
    name: str, arch: str, images: Path, tmp_path: Path
) -> None:
    config = config_of(tmp_path, images, name, arch)
    whole = run(config, tmp_path / "whole")
    arm(tmp_path / "configs" / "pretrain.fault", "raise", 6)
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(config, tmp_path / "broken")
    resumed = run(config, tmp_path / "broken")
    one, other = (load_encoder(str(r.checkpoint)).state_dict() for r in (whole, resumed))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("name", "arch"), CASES)
def test_a_pretraining_goes_on_from_encoder_and_decoder(
    name: str, arch: str, images: Path, tmp_path: Path
) -> None:
    first = run(config_of(tmp_path, images, name, arch), tmp_path / "first")
    config = config_of(tmp_path, images, name, arch, f"{name}.decoder_width=512")
    deeper = {"fcmae": "depths", "spark": "layers", "hiera": "stages"}[name]
    config.encoder.options[deeper] = [2, 2, 2, 2]
    config.train_cfg.max_epochs = 1
    config.optim_wrapper.optimizer.lr = 0.0
    again = run(config, tmp_path / "again", first.artifacts[name])
    before, after = (read_state(r.artifacts[name]) for r in (first, again))
    counted = ("running_mean", "running_var", "num_batches_tracked")
    kept = [key for key in before if not key.endswith(counted)]
    assert before.keys() == after.keys() and any(key.startswith("decoder.") for key in kept)
    assert all(torch.equal(before[key], after[key]) for key in kept)


def test_an_update_is_the_same_however_its_images_are_spread(images: Path, tmp_path: Path) -> None:
    ends = []
    for batch in (4, 2):
        config = config_of(
            tmp_path / str(batch),
            images,
            "fcmae",
            "convnextv2_atto",
            f"train_dataloader.batch_size={batch}",
            "effective_batch=4",
        )
        ends.append(load_encoder(str(run(config, tmp_path / f"work{batch}").checkpoint)))
    for found, expected in zip(*(one.parameters() for one in ends), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("arch", ["convnextv2_atto", "convnext_tiny", "resnet26d"])
@pytest.mark.parametrize("name", METHODS)
def test_it_trains_in_bfloat16(name: str, arch: str) -> None:
    options = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
    if arch == "resnet26d":
        options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}
    method = model(name, arch, 64, options, decoder_width=256 if name == "spark" else 16)
    images = torch.randn(2, 3, 64, 64)
    full = method.losses(images, torch.arange(2))["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        loss = method.losses(images, torch.arange(2))["loss"]
    loss.backward()
    torch.testing.assert_close(loss, full, atol=0.05, rtol=0)
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_what_is_behind_the_masks(name: str) -> None:
    """Images of one gradient, whose direction tells the visible patches and the masked ones."""
    method = model(name, norm_pix_loss=True, mask_ratio=0.5)
    assert loss_of_ramps(method) < 0.3  # 1 without a look at the images
