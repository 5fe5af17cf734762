import re

import pytest
import torch

from benchmarks.pretrain_throughput import VARIANTS, build, flops_per_image, training_step
from tests.processes import printed

pytestmark = pytest.mark.slow

EAGER = [variant for variant in VARIANTS if "compiled" not in variant]


def test_the_flops_are_those_counted_by_hand() -> None:
    def block(tokens: int, width: int) -> int:
        return 2 * tokens * 12 * width**2 + 4 * tokens**2 * width

    visible, every, narrow, wide, pixels = 50, 197, 192, 512, 768
    forward = 12 * block(visible, narrow) + 8 * block(every, wide)
    forward += 2 * visible * narrow * wide + 2 * (every - 1) * wide * pixels
    embedding = 2 * (visible - 1) * pixels * narrow  # no gradient for the images
    assert flops_per_image("tiny") == pytest.approx(3 * forward + 2 * embedding, rel=0.005)


@pytest.mark.parametrize("variant", EAGER)
def test_every_variant_trains_on_images_of_the_papers_size(variant: str) -> None:
    images = torch.randn(1, 3, 224, 224)
    step = training_step(build(variant, "tiny", "cpu"), images, "fp32")
    assert all(step().isfinite() for _ in range(2))


def test_the_command_prints_a_row_for_each_variant() -> None:
    options = [
        "--sizes",
        "tiny",
        "--batch",
        "1",
        "--rounds",
        "1",
        "--precisions",
        "fp32",
        "--variants",
        *EAGER,
    ]
    output = printed("benchmarks.pretrain_throughput", *options)
    rows = re.findall(r"^\| tiny \| fp32 \| 1 \| (.+?) \|", output, re.MULTILINE)
    assert rows == EAGER
    assert "python -m benchmarks.pretrain_throughput --sizes tiny" in output
