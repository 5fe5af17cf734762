"""NMS and RoIAlign as mmcv's users see them, without mmcv's C++."""

import os
import subprocess
import sys
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import grid_sample

import downstream  # noqa: F401  registers the operators
from downstream.operators import EXTENSION, is_compiled

mmcv_ops = import_module("mmcv.ops")
COMPILED = "MAE_BENCH_COMPILED"  # set to compile mmcv for a comparison, in 10 to 20 minutes


def random_boxes(count: int, side: float, seed: int) -> Tensor:
    """(N, 4) float32 within a square of that side."""
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)) * side
    return torch.cat([corners.amin(1), corners.amax(1)], dim=1)


def overlap(a: np.ndarray, b: np.ndarray, offset: int) -> float:
    """Intersection over union of two boxes, whose last pixel is `offset` inside them."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inner = np.prod(np.maximum(high - low + offset, 0))
    areas = [np.prod(box[2:] - box[:2] + offset) for box in (a, b)]
    return float(inner / (sum(areas) - inner))


def kept_one_by_one(boxes: np.ndarray, scores: np.ndarray, limit: float, offset: int) -> list[int]:
    """Greedy suppression, in plain loops."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if all(overlap(boxes[index], boxes[other], offset) <= limit for other in kept):
            kept.append(index)
    return kept


def sampled_means(image: Tensor, box: Tensor, size: int, scale: float, ratio: int) -> Tensor:
    """(C, size, size): means of `ratio` squared bilinear samples in each cell of a box.

    Pixels' centres lie at halves; the box lies inside the image.
    """
    _, height, width = image.shape
    left, top, right, bottom = (box * scale).tolist()
    steps = (torch.arange(size * ratio, dtype=image.dtype) + 0.5) / (size * ratio)
    x, y = left + steps * (right - left), top + steps * (bottom - top)
    grid = torch.stack(
        [(2 * x / width - 1).expand(len(y), -1), (2 * y / height - 1)[:, None].expand(-1, len(x))],
        dim=-1,
    )
    found = grid_sample(image[None], grid[None], align_corners=False, padding_mode="border")
    return found[0].unflatten(1, (size, ratio)).unflatten(3, (size, ratio)).mean((2, 4))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.floats(0.1, 0.9), st.sampled_from([0, 1]), st.integers(0, 10**6))
def test_nms_keeps_what_plain_loops_keep(count: int, limit: float, offset: int, seed: int) -> None:
    boxes = random_boxes(count, 30.0, seed).double()
    scores = torch.rand(count, generator=torch.Generator().manual_seed(seed + 1)).double()
    _, kept = mmcv_ops.nms(boxes, scores, limit, offset=offset)
    assert kept.tolist() == kept_one_by_one(boxes.numpy(), scores.numpy(), limit, offset)


def test_batched_nms_leaves_boxes_of_other_classes_alone() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [0, 0, 10, 10], [30, 30, 40, 40]])
    scores = torch.tensor([0.5, 0.9, 0.7, 0.1])
    classes = torch.tensor([0, 0, 1, 0])
    method = {"type": "nms", "iou_threshold": 0.5}
    found, kept = mmcv_ops.batched_nms(boxes, scores, classes, method)
    assert kept.tolist() == [1, 2, 3]
    assert torch.equal(found, torch.cat([boxes, scores[:, None]], dim=1)[[1, 2, 3]])


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_roi_align_is_the_mean_of_bilinear_samples(ratio: int, scale: float) -> None:
    images = torch.rand(2, 3, 12, 16, dtype=torch.float64)
    boxes = (1 + random_boxes(5, 9.0, 0).double()) / scale
    rois = torch.cat([torch.tensor([0, 1, 0, 1, 1])[:, None].double(), boxes], dim=1)
    found = mmcv_ops.RoIAlign(7, scale, ratio)(images, rois)
    for row, out in zip(rois, found, strict=True):
        expected = sampled_means(images[int(row[0])], row[1:], 7, scale, ratio)
        assert torch.allclose(out, expected, atol=1e-12)


@pytest.mark.parametrize("ratio", [0, 1, 2])
def test_roi_align_has_the_gradient_of_what_it_computes(ratio: int) -> None:
    images = torch.rand(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 0.5, 1, 4, 5], [1, 1, 1, 5.5, 3]], dtype=torch.float64)
    assert torch.autograd.gradcheck(mmcv_ops.RoIAlign(3, 1.0, ratio), (images, rois))


@pytest.mark.skipif(is_compiled(), reason="mmcv is compiled here")
def test_what_torchvision_does_not_have_says_so() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    with pytest.raises(NotImplementedError, match=r"'softnms' is not there.*without its C\+\+"):
        mmcv_ops.soft_nms(boxes, torch.ones(1))
    with pytest.raises(NotImplementedError, match="roi_align of maxima"):
        mmcv_ops.RoIAlign(3, pool_mode="max")(torch.rand(1, 1, 4, 4), torch.zeros(1, 5))


def test_operators_there_before_stay() -> None:
    script = (
        f"import sys, types; mine = sys.modules['{EXTENSION}'] = types.ModuleType('{EXTENSION}')\n"
        f"import downstream; assert sys.modules['{EXTENSION}'] is mine; print('kept')"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).stdout == b"kept\n"


def test_the_stand_in_can_be_looked_for_as_mmengine_does() -> None:
    assert find_spec(EXTENSION) is not None


def test_importing_the_tasks_package_loads_no_framework() -> None:
    script = "import sys, downstream; print({'torch', 'torchvision', 'mmcv'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).stdout == b"set()\n"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(COMPILED not in os.environ, reason=f"{COMPILED}=1 compiles mmcv")
def test_compiled_operators_give_the_same(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--no-binary"]
    compiler = tmp_path / "c++20"  # mmcv asks for C++17, torch's headers since 2.14 for C++20
    compiler.write_text('#!/bin/sh\nexec c++ "$@" -std=c++20\n')
    compiler.chmod(0o755)
    for_cpus = {"FORCE_CUDA": "0", "CUDA_VISIBLE_DEVICES": "", "CXX": str(compiler)}
    environment = os.environ | for_cpus
    version = f"onedl-mmcv=={metadata.version('onedl-mmcv')}"
    wheels = [*build, "onedl-mmcv", "--wheel-dir", str(tmp_path), version]
    subprocess.run(wheels, check=True, env=environment)
    (wheel,) = tmp_path.glob("*.whl")
    there = tmp_path / "compiled"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(there), str(wheel)], check=True)
    found = []
    for name, place in (("torchvision", ""), ("compiled", str(there))):
        file = tmp_path / f"{name}.pt"
        path = os.pathsep.join([place, str(Path(__file__).parents[2])])
        subprocess.run(
            [sys.executable, "-c", RESULTS, str(file), place],
            check=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        found.append(torch.load(file))
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        if value.dtype == torch.int64:
            assert torch.equal(value, theirs[key]), key
        else:
            difference = (value - theirs[key]).abs().max().item()
            print(f"{key}: largest difference {difference:.1e}")
            assert difference <= 1e-6, key


# Kept boxes, and RoIAlign with its gradients, of seeded inputs, written to a file.
RESULTS = """
import sys
import torch
import downstream
from downstream.operators import is_compiled
from mmcv.ops import RoIAlign, batched_nms
assert is_compiled() == bool(sys.argv[2])
torch.manual_seed(0)
corners = torch.rand(3000, 2, 2) * 800
boxes = torch.cat([corners.amin(1), corners.amax(1)], 1)
scores, classes = torch.rand(3000), torch.randint(0, 5, (3000,))
results = {"kept": batched_nms(boxes, scores, classes, dict(type="nms", iou_threshold=0.5))[1]}
images = torch.rand(2, 16, 50, 50, requires_grad=True)
rois = torch.cat([torch.randint(0, 2, (200, 1)), boxes[:200]], 1)
for ratio in (0, 1, 2):
    out = RoIAlign(7, 1 / 16, ratio)(images, rois)
    gradient = torch.autograd.grad((out * torch.rand_like(out)).sum(), images)[0]
    results |= {f"forward {ratio}": out.detach(), f"backward {ratio}": gradient}
torch.save(results, sys.argv[1])
"""
