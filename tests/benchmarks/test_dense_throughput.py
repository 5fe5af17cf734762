import re

import pytest
import torch

from benchmarks.dense_throughput import BACKBONES, DETECTORS, backbone, training_step
from tests.processes import printed

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("variant", BACKBONES)
def test_every_backbone_gives_four_maps_of_the_same_sizes(variant: str) -> None:
    maps = backbone(variant, "tiny", 64)(torch.randn(1, 3, 64, 64))
    assert [tuple(one.shape) for one in maps] == [(1, 192, 4, 4)] * 4


@pytest.mark.parametrize("variant", DETECTORS)
def test_every_detector_trains(variant: str) -> None:
    step = training_step(variant, "tiny", 64, 1, "fp32", "cpu")
    assert all(step().isfinite() for _ in range(2))


def test_the_command_prints_a_row_for_each_variant() -> None:
    chosen = list(BACKBONES[:2])
    options = ["--size", "tiny", "--pixels", "64", "--batch", "1", "--rounds", "1", "--of", *chosen]
    output = printed("benchmarks.dense_throughput", *options)
    rows = re.findall(r"^\| (.+?) \| 64 \| fp32 \|", output, re.MULTILINE)
    assert rows == chosen
