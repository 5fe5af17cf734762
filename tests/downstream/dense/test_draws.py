from pathlib import Path

import numpy as np
import torch
from mmengine.registry import init_default_scope

from downstream.dense.data import mask_splits
from downstream.dense.draws import DrawnImages
from downstream.dense.label_map import LabelMap
from downstream.segmentation.pairs import PairedImages
from downstream.segmentation.pipeline import training_pipeline
from mae_core.config import load_config
from mae_core.data.sampler import Draw, DrawSampler


def drawn(scenes: Path) -> DrawnImages:
    config = load_config("segment/upernet_vit-micro-p6_1xb20-14e_demo")
    config.data_root = str(scenes)
    config.val_data = {"images": "val", "masks": "val_masks"}
    init_default_scope("mmseg")
    steps = training_pipeline(LabelMap(tuple(range(3))), (48, 48), (0.5, 2.0), 30, 0.5, True)
    return DrawnImages(PairedImages(mask_splits(config)["train"].pairs, steps))


def test_a_visit_follows_from_its_seed_and_leaves_the_generators_alone(scenes: Path) -> None:
    images = drawn(scenes)
    assert len(images) == 8
    first = images[Draw(1, 5)]
    np.random.rand(3), torch.rand(3)
    before = torch.get_rng_state(), np.random.get_state()[2]
    again, other = images[Draw(1, 5)], images[Draw(1, 6)]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[2] == before[1]
    assert torch.equal(first["inputs"], again["inputs"])
    assert not torch.equal(first["inputs"], other["inputs"])


def test_an_epochs_visits_are_those_of_no_other(scenes: Path) -> None:
    """What the resumed stages used to get twice."""
    images = drawn(scenes)
    sampler = DrawSampler(images)
    seen = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        seen += [images[draw]["inputs"].float().mean().item() for draw in sampler]
    assert len(set(seen)) == len(seen)
