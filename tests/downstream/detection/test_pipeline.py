from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset
from mmengine.registry import init_default_scope

from downstream.detection.pipeline import evaluation_pipeline, training_pipeline


def images(scenes: Path, steps: list) -> CocoDataset:
    init_default_scope("mmdet")
    return CocoDataset(
        ann_file=str(scenes / "instances_val.json"),
        data_prefix={"img": f"{scenes}/val/"},
        metainfo={"classes": ("small", "large")},
        pipeline=steps,
        test_mode=True,
    )


def test_the_longer_side_has_the_size_asked_for(scenes: Path) -> None:
    item = images(scenes, evaluation_pipeline(96))[0]
    assert item["inputs"].shape == (3, 96, 96)
    sample = item["data_samples"]
    assert sample.ori_shape == (48, 48) and sample.gt_instances.masks.masks.shape[1:] == (48, 48)


@pytest.mark.parametrize("crop", [None, 64])
def test_jittered_images_fit_into_the_crop(scenes: Path, crop: int | None) -> None:
    seen = images(scenes, training_pipeline(96, (0.1, 2.0), crop, flip=0.5))
    sides = [side for _ in range(10) for side in seen[0]["inputs"].shape[1:]]
    assert max(sides) <= (crop or 96)
    assert min(sides) < 60  # some were made smaller


def test_a_crop_without_objects_stays_one(scenes: Path) -> None:
    """As in detectron2; mmdet would take another image in its place."""
    seen = images(scenes, training_pipeline(96, (1.0, 1.0), 8, flip=0.0))
    found = [len(seen[i % 4]["data_samples"].gt_instances) for i in range(24)]
    assert 0 in found and max(found) == 1


def test_without_jitter_only_the_flip_is_left_to_chance(scenes: Path) -> None:
    seen = images(scenes, training_pipeline(96, None, None, flip=0.0))
    assert seen[0]["inputs"].equal(seen[0]["inputs"])
