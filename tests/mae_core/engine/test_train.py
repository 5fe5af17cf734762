from multiprocessing import active_children
from pathlib import Path

import pytest
import torch

from mae_core import UserError
from tests.line import LOADER, Points, line

SGD = {"optimizer": {"type": "SGD", "lr": 1.0}}


def test_a_schedule_gives_warm_up_and_cosine(tmp_path: Path) -> None:
    rates = line(tmp_path, optim_wrapper=SGD, schedule={"warmup_epochs": 1}).rates
    assert rates == pytest.approx([0.001, 0.334, 0.667, 1, 1, 0.8536, 0.5, 0.1464], abs=1e-3)


def test_other_schedulers_are_taken_as_they_are(tmp_path: Path) -> None:
    halve = [{"type": "MultiStepLR", "milestones": [1], "gamma": 0.5}]
    assert line(tmp_path, optim_wrapper=SGD, param_scheduler=halve).rates == [1.0] * 4 + [0.5] * 4


def test_the_rate_scales_with_the_batch_where_asked(tmp_path: Path) -> None:
    scaled = {"base_batch_size": 8, "enable": True}
    assert line(tmp_path, optim_wrapper=SGD, auto_scale_lr=scaled).rates == [0.25] * 8


def test_accumulation_keeps_the_effective_batch(tmp_path: Path) -> None:
    """Two steps of two images end in the weights of one step of four; the loss has no noise."""
    scaled = {"base_batch_size": 256, "enable": True}
    models = [
        line(
            tmp_path / str(micro),
            train_dataloader={**LOADER, "batch_size": micro},
            effective_batch=4,
            auto_scale_lr=scaled,
            optim_wrapper=SGD,
        )
        for micro in (2, 4)
    ]
    a, b = (model.layer.weight for model in models)
    torch.testing.assert_close(a, b, rtol=0, atol=0.02)  # of the noise in the loss
    assert models[0].rates == [4 / 256] * 8 and models[1].rates == [4 / 256] * 4


def test_a_batch_that_does_not_fit_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="effective_batch=5 is no multiple of the 2 images"):
        line(tmp_path, effective_batch=5)
    with pytest.raises(UserError, match="8 images are fewer than the 16 of one update"):
        line(tmp_path, effective_batch=16)
    with pytest.raises(UserError, match=r"takes 2 steps: set train_dataloader\.drop_last=True"):
        line(tmp_path, effective_batch=4, train_dataloader={**LOADER, "drop_last": False})


def test_a_finished_training_is_not_trained_further(tmp_path: Path) -> None:
    assert len(line(tmp_path).rates) == 8
    assert line(tmp_path).rates == []


def test_an_epoch_visits_every_image_once(tmp_path: Path) -> None:
    data = Points()
    line(tmp_path, data)
    first, second = data.visited[:8], data.visited[8:]
    assert sorted(first) == sorted(second) == list(range(8)) and first != second


def test_a_training_resumes_only_with_its_batch(tmp_path: Path) -> None:
    line(tmp_path)
    with pytest.raises(UserError, match="has 2 images a step and 2 an update; now it is 4"):
        line(tmp_path, train_dataloader={**LOADER, "batch_size": 4})


def test_a_loaders_processes_end_with_the_training(tmp_path: Path) -> None:
    line(tmp_path, train_dataloader={**LOADER, "num_workers": 1, "persistent_workers": True})
    assert active_children() == []
