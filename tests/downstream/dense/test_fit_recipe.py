"""Which maps, strides and paddings a recipe has with other encoders than the one it is for."""

import copy
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from downstream.dense.backbone import place_encoder
from downstream.dense.fit_recipe import fit_recipe
from downstream.dense.levels import in_proportion, nearest_run
from mae_core import UserError
from mae_core.config import load_config
from mae_core.encoders import register_encoder
from mae_core.encoders.vit import ViTEncoder
from mae_core.stage import SilentReporter
from tests.tiny import CONFIGS

SHIPPED = sorted(
    f"{path.parent.name}/{path.stem}"
    for stage in ("detect", "segment")
    for path in (CONFIGS / stage).glob("*.py")
)
VITDET = "detect/mask-rcnn_vit-base-p16_8xb8-amp-lsj-100e_coco"
ONE_GPU = "detect/mask-rcnn_vit-base-p16_1xb4-amp-1x_coco"
DEMO = "detect/mask-rcnn_vit-micro-p6_1xb4-2e_demo"
UPERNET = "segment/upernet_vit-base-p16_8xb2-amp-160k_ade20k"
SMALL_UPERNET = "segment/upernet_vit-micro-p6_1xb20-14e_demo"
LINEAR = "segment/linear_vit-base-p16_8xb2-amp-40k_ade20k"


def fitted(name: str, arch: str, notes: list[str] | None = None, **fields: Any) -> Config:
    """A shipped recipe with another encoder, its channels filled in."""
    given = load_config(name)
    config = copy.deepcopy(given)
    config.encoder = {"arch": arch, "in_chans": 3, **fields}
    reporter = SilentReporter()
    if notes is not None:
        reporter.note = notes.append  # type: ignore[method-assign]
    found = fit_recipe(given, config, reporter)
    assert fit_recipe(found, found).to_dict() == found.to_dict()
    place_encoder(found, "random")
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_stays_as_it_is_with_its_own_encoder(name: str) -> None:
    config = load_config(name)
    reporter = SilentReporter()
    reporter.note = pytest.fail  # type: ignore[method-assign]
    assert fit_recipe(config, config, reporter).to_dict() == config.to_dict()


@pytest.mark.parametrize("arch", ["timm:test_resnet", "timm:test_convnext"])
def test_a_hierarchical_encoder_brings_its_own_strides_to_fpn(arch: str) -> None:
    notes: list[str] = []
    model = fitted(VITDET, arch, notes).model
    assert model.backbone.type == "EncoderMaps" and "window" not in model.backbone
    assert (model.neck.type, model.neck.num_outs, len(model.neck.in_channels)) == ("FPN", 5, 4)
    assert list(model.rpn_head.anchor_generator.strides) == [4, 8, 16, 32, 64]
    assert "base_sizes" not in model.rpn_head.anchor_generator
    assert list(model.roi_head.bbox_roi_extractor.featmap_strides) == [4, 8, 16, 32]
    (note,) = notes
    assert "window" in note and "global_blocks" in note
    assert arch in note and "left out" in note and "4, 8, 16, 32" in note


def test_anchors_keep_their_sizes_where_strides_change() -> None:
    config = fitted(DEMO, "timm:test_convnext")
    model, anchors = config.model, config.model.rpn_head.anchor_generator
    assert list(anchors.strides) == [4, 8, 16] and list(anchors.base_sizes) == [3, 6, 12]
    assert list(model.roi_head.mask_roi_extractor.featmap_strides) == [4, 8]
    assert model.data_preprocessor.pad_size_divisor == 16


def test_a_patch_of_another_size_gets_the_pyramid_nearest_to_the_recipes() -> None:
    model = fitted(DEMO, "timm:test_vit").model  # patches of 16 pixels
    assert (model.neck.type, list(model.neck.scales)) == ("SimpleFeaturePyramid", [4, 2, 1])
    assert list(model.rpn_head.anchor_generator.strides) == [4, 8, 16]
    model = fitted(VITDET, "timm:vit_small_patch14_dinov2", img_size=56).model
    assert list(model.rpn_head.anchor_generator.strides) == [3.5, 7, 14, 28, 56]
    assert model.data_preprocessor.pad_size_divisor == 28
    assert model.neck.in_channels == 384


def test_a_plain_vit_of_another_depth_and_patch_keeps_windows() -> None:
    found = fitted(ONE_GPU, "vit-large-p16", width=16, heads=2)
    backbone = found.model.backbone
    assert (backbone.type, backbone.window, list(backbone.layers)) == ("MAEViT", 14, [23])
    assert list(backbone.global_blocks) == [5, 11, 17, 23]
    assert len(found.activation_checkpointing) == 24
    model = fitted(DEMO, "vit-tiny-p16").model
    assert list(model.neck.scales) == [4, 2, 1] and list(model.backbone.layers) == [11]


def test_blocks_of_any_encoder_forget_what_they_computed_where_the_recipe_asks() -> None:
    found = fitted(ONE_GPU, "timm:test_convnext")
    assert found.model.backbone.checkpointing and found.activation_checkpointing is None


def test_upernet_takes_a_hierarchical_encoders_maps_without_a_neck() -> None:
    model = fitted(UPERNET, "timm:test_resnet").model
    assert "neck" not in model and list(model.backbone.layers) == [1, 2, 3, 4]
    assert list(model.decode_head.in_index) == [0, 1, 2, 3]
    widths = list(model.decode_head.in_channels)
    assert len(widths) == 4 and model.auxiliary_head.in_channels == widths[2]
    small = fitted(SMALL_UPERNET, "timm:test_convnext")
    assert len(small.model.decode_head.in_channels) == 3
    assert small.image.crop == 32 and tuple(small.model.test_cfg.crop_size) == (32, 32)


def test_upernet_takes_blocks_in_proportion_of_an_encoder_of_one_stride() -> None:
    model = fitted(UPERNET, "timm:vit_tiny_patch16_224", img_size=64).model
    assert model.neck.type == "Feature2Pyramid" and list(model.backbone.layers) == [3, 5, 7, 11]
    assert model.neck.embed_dim == 192 and list(model.decode_head.in_channels) == [192] * 4


def test_the_linear_layer_takes_the_last_map_with_all_its_channels() -> None:
    model = fitted(LINEAR, "timm:test_resnet").model
    assert list(model.backbone.layers) == [4] and model.backbone.frozen
    width = model.neck.in_channels
    assert model.decode_head.channels == model.decode_head.in_channels == width


@register_encoder("without-maps", {"without-maps": {"width": 16, "depth": 1, "heads": 2}})
class WithoutMaps(ViTEncoder):
    offers = frozenset(("trained",))


def test_too_few_layers_and_no_maps_are_refused() -> None:
    with pytest.raises(UserError, match=r"detect needs an encoder that has feature maps"):
        fitted(DEMO, "without-maps")
    with pytest.raises(UserError, match=r"2 layers.*maps of 4.*backbone\.layers"):
        fitted(UPERNET, "vit-base-p16", depth=2)


def test_runs_of_strides_are_the_nearest() -> None:
    assert nearest_run([2, 4, 8, 16, 32], 3, 3) == [4, 8, 16]  # 4/3 is less than 3/2
    assert nearest_run([2, 4, 8, 16, 32], 4, 16) == [4, 8, 16, 32]
    assert nearest_run([4, 8], 4, 4) == [4, 8]
    assert in_proportion([2, 5, 8, 11], 24) == [5, 11, 17, 23]
    assert in_proportion([5], 12) == [11]


def test_nothing_is_changed_in_place(tmp_path: Path) -> None:
    given = load_config(VITDET)
    config = copy.deepcopy(given)
    config.encoder = {"arch": "timm:test_resnet", "in_chans": 3}
    before = config.to_dict()
    fit_recipe(given, config)
    assert config.to_dict() == before
