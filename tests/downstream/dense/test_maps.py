"""An encoder of any family as a backbone, and images of a size that it takes."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

from downstream.dense.fit_recipe import fit_recipe
from downstream.dense.fit_size import Sides, settle_size
from downstream.dense.maps import EncoderMaps
from mae_core import UserError, create_encoder
from mae_core.checkpoints import save_encoder
from mae_core.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.dense.test_stored import NAMES

RESNET = {"arch": "timm:test_resnet", "img_size": 64}


def test_the_maps_are_the_encoders_own(tmp_path: Path) -> None:
    encoder = create_encoder(**RESNET).eval()
    save_encoder(tmp_path / "encoder.safetensors", encoder)
    source = str(tmp_path / "encoder.safetensors")
    backbone = EncoderMaps(RESNET, source, [1, 3]).eval()
    images = torch.randn(2, 3, 64, 96)
    found, expected = backbone(images), encoder.feature_maps(images, [1, 3])
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert found[0].shape[-2:] == (16, 24) and all(one.is_contiguous() for one in found)
    assert "missing []" in backbone.origin and source in backbone.origin
    assert "random" in EncoderMaps(RESNET, "random", [1]).origin


def test_a_layer_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"block 5 in layers.*0 to 4"):
        EncoderMaps(RESNET, "random", [5])


def test_what_comes_after_the_last_map_is_not_trained() -> None:
    backbone = EncoderMaps(RESNET, "random", [1, 2])
    backbone.leave_out_unused()
    sum(one.square().sum() for one in backbone(torch.randn(2, 3, 64, 64))).backward()
    left = []
    for name, parameter in backbone.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        left += [] if parameter.requires_grad else [name]
    assert any("layer4" in name for name in left) and not any("layer1" in name for name in left)


def norms(backbone: EncoderMaps) -> list[nn.BatchNorm2d]:
    return [one for one in backbone.modules() if isinstance(one, nn.BatchNorm2d)]


def test_statistics_stay_with_norm_eval_and_while_frozen() -> None:
    images = torch.randn(2, 3, 64, 64)
    for options, moves in (({}, True), ({"norm_eval": True}, False), ({"frozen": True}, False)):
        backbone = EncoderMaps(RESNET, "random", [4], **options).train()
        before = [one.running_mean.clone() for one in norms(backbone)]
        backbone(images)
        after = [one.running_mean for one in norms(backbone)]
        same = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert len(before) > 3 and same != moves
        assert any(p.requires_grad for p in backbone.parameters()) == ("frozen" not in options)


@pytest.mark.parametrize(
    ("arch", "options"),
    [("timm:test_convnext", {}), ("timm:test_vit", {}), ("timm:test_resnet", {"norm_eval": True})],
)
def test_forgotten_activations_give_the_same_gradients(arch: str, options: dict) -> None:
    fields = {"arch": arch, "img_size": 64}
    last = len(create_encoder(**fields).widths) - 1
    plain, forgetful = (
        EncoderMaps(fields, "random", [last], checkpointing=c, **options).train()
        for c in (False, True)
    )
    forgetful.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 64)
    for backbone in (plain, forgetful):
        backbone(images)[0].square().mean().backward()
    for (name, one), other in zip(plain.named_parameters(), forgetful.parameters(), strict=True):
        if one.grad is not None:
            assert other.grad is not None, name
            torch.testing.assert_close(one.grad, other.grad)


def test_shared_statistics_have_the_same_weights() -> None:
    backbone = EncoderMaps(RESNET, "random", [4])
    before = backbone.state_dict()
    backbone.share_statistics()
    assert backbone.state_dict().keys() == before.keys()
    assert any(isinstance(one, nn.SyncBatchNorm) for one in backbone.modules())


def config_of(arch: str) -> Config:
    given = load_config(NAMES["detect"])
    config = Config(given.to_dict())
    config.encoder = {"arch": arch, "in_chans": 3, "img_size": 64}
    config = fit_recipe(given, config)
    config.model.backbone.encoder = config.encoder
    return config


def test_an_encoder_of_one_size_gets_images_that_are_filled_up() -> None:
    config, notes = config_of("timm:test_coatnet"), []
    reporter = SilentReporter()
    reporter.note = notes.append  # type: ignore[method-assign]
    settle_size(config, Sides("image.size", 96, 16), reporter)
    assert config.model.data_preprocessor.pad_size_divisor == 96
    assert list(config.encoder.img_size) == list(config.model.backbone.encoder.img_size) == [96, 96]
    assert "one size only" in notes[0] and "96×96" in notes[0] and "image.size" in notes[0]


def test_an_encoder_of_any_size_stays_as_it_is() -> None:
    for arch in ("timm:test_resnet", "timm:test_vit"):
        config = config_of(arch)
        before = config.to_dict()
        settle_size(config, Sides("image.size", 96, 16), SilentReporter())
        assert config.to_dict() == before


def test_a_size_that_no_encoder_of_a_kind_takes_is_refused() -> None:
    config = config_of("timm:test_vit")
    with pytest.raises(UserError, match=r"image\.crop: .*test_vit takes no images of 70×70"):
        settle_size(config, Sides("image.crop", 70, None), SilentReporter())
