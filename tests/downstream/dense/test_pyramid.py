import torch
import torchvision
from mmcv.ops import roi_align

from downstream.dense.pyramid import SimpleFeaturePyramid


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


def test_coarser_levels_follow_the_coarsest() -> None:
    maps = SimpleFeaturePyramid(16, 8, [1, 0.5], coarser=1)((torch.randn(1, 16, 8, 8),))
    assert [m.shape[-1] for m in maps] == [8, 4, 2]
    assert torch.equal(maps[2], maps[1][..., ::2, ::2])
