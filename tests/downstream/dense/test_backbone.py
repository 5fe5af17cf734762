from pathlib import Path

import pytest
import torch
import torchvision
from mmcv.ops import roi_align

from downstream.dense.backbone import MAEViT, SimpleFeaturePyramid
from mae_core import UserError, create_encoder
from mae_core.checkpoints import save_weights
from tests.downstream.conftest import TINY


def saved(path: Path, **fields: object) -> str:
    encoder = create_encoder(**{**TINY, "img_size": 24, **fields})
    save_weights(path, encoder, encoder=encoder.config)
    return str(path)


def test_the_backbone_computes_what_the_encoder_does(tmp_path: Path) -> None:
    source = saved(tmp_path / "encoder.safetensors")
    backbone = MAEViT({**TINY, "img_size": 24}, source, layers=[0, 1]).eval()
    encoder = create_encoder(**TINY, img_size=24).eval()
    encoder.load_state_dict(backbone.encoder.state_dict())
    images = torch.randn(2, 3, 24, 24)
    first, last = backbone(images)
    assert first.shape == last.shape == (2, 16, 4, 4)
    torch.testing.assert_close(last.flatten(2).transpose(1, 2), encoder(images)[:, 1:])


def test_weights_pretrained_at_another_size_all_arrive(tmp_path: Path) -> None:
    source = saved(tmp_path / "encoder.safetensors", img_size=30)
    one, other = (MAEViT({**TINY, "img_size": 30}, source, layers=[1]).eval() for _ in range(2))
    images = torch.randn(1, 3, 48, 36)
    assert one(images)[0].shape == (1, 16, 8, 6)
    assert torch.equal(one(images)[0], other(images)[0])


def test_a_file_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    source = saved(tmp_path / "shallow.safetensors", depth=1)
    with pytest.raises(UserError, match=r"shallow.*depth=1.*depth=2"):
        MAEViT({**TINY, "img_size": 24}, source, layers=[1])


def test_the_pyramid_has_the_scales_asked_for() -> None:
    maps = SimpleFeaturePyramid(16, 8, [4, 2, 1, 0.5])((torch.randn(2, 16, 6, 4),))
    assert [tuple(m.shape) for m in maps] == [
        (2, 8, 24, 16),
        (2, 8, 12, 8),
        (2, 8, 6, 4),
        (2, 8, 3, 2),
    ]


def test_regions_of_the_pyramid_are_read_correctly_by_mmcv() -> None:
    maps = SimpleFeaturePyramid(16, 8, [2, 1])((torch.randn(2, 16, 8, 8),))
    rois = torch.tensor([[0, 3.0, 4, 30, 28], [1, 10, 2, 40, 44]])
    for level, stride in zip(maps, (3, 6), strict=True):
        ours = roi_align(level, rois, (7, 7), 1 / stride, 2, "avg", True)
        expected = torchvision.ops.roi_align(level, rois, 7, 1 / stride, 2, aligned=True)
        torch.testing.assert_close(ours, expected)
