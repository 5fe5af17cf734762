import os
import re
import subprocess
import sys

import pytest
import torch

from benchmarks.dense_throughput import BACKBONES, DETECTORS, backbone, training_step

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
    command = [sys.executable, "-m", "benchmarks.dense_throughput", "--size", "tiny"]
    options = ["--pixels", "64", "--batch", "1", "--rounds", "1", "--of", *chosen]
    done = subprocess.run(
        [*command, *options], env=os.environ, capture_output=True, text=True, check=True
    )
    rows = re.findall(r"^\| (.+?) \| 64 \| fp32 \|", done.stdout, re.MULTILINE)
    assert rows == chosen
