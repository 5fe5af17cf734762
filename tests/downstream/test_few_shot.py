from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid

from downstream.few_shot import episode, mean_with_interval, run
from mae_core import UserError
from mae_core.engine.config import load_config
from mae_core.stage import SilentReporter
from tests.downstream.classification.conftest import on


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(
    spread: float, per_class: int = 20, classes: int = 6
) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.arange(classes).repeat_interleave(per_class)
    return torch.eye(classes)[y] + spread * torch.randn(len(y), classes, generator=generator()), y


def test_separated_classes_are_always_right_and_noise_is_at_chance() -> None:
    x, y = blobs(spread=0.01)
    assert episode(x, y, 5, 1, 15, generator()) == 1
    noise = torch.randn(len(y), 16, generator=generator())
    accuracy = torch.stack([episode(noise, y, 5, 5, 15, generator(i)) for i in range(200)])
    assert abs(accuracy.mean() - 0.2) < 0.03


def test_one_shot_is_the_nearest_support_image_by_cosine() -> None:
    x, y = blobs(spread=0.5)
    drawn = generator(3)
    classes = torch.randperm(6, generator=drawn)[:5]
    members = [torch.nonzero(y == c).flatten() for c in classes]
    picks = [m[torch.randperm(20, generator=drawn)[:16]] for m in members]
    unit = torch.nn.functional.normalize(x, dim=1).numpy()
    reference = NearestCentroid().fit(unit[torch.stack([p[0] for p in picks])], range(5))
    expected = [reference.score(unit[p[1:]], [i] * 15) for i, p in enumerate(picks)]
    found = episode(x, y, 5, 1, 15, generator(3))
    assert float(found) == pytest.approx(sum(expected) / 5)


@settings(max_examples=25, deadline=None)
@given(ways=st.integers(2, 6), shots=st.integers(1, 5), seed=st.integers(0, 1000))
def test_an_episode_is_a_share_and_repeats(ways: int, shots: int, seed: int) -> None:
    x, y = blobs(spread=1.0)
    first, second = (episode(x, y, ways, shots, 10, generator(seed)) for _ in range(2))
    assert first == second
    assert 0 <= float(first) <= 1


def test_too_few_classes_or_images_are_the_users_mistake() -> None:
    x, y = blobs(spread=1.0)
    with pytest.raises(UserError, match="7 classes, found 6"):
        episode(x, y, 7, 1, 15, generator())
    with pytest.raises(UserError, match=r"20 images.*6 shots \+ 15 queries"):
        episode(x, y, 5, 6, 15, generator())


def test_the_interval_is_1_96_standard_errors() -> None:
    metric = mean_with_interval(torch.tensor([0.2, 0.4, 0.6, 0.8]))
    assert metric.value == pytest.approx(0.5)
    assert metric.ci95 == pytest.approx(1.959964 * 0.2581989 / 2, rel=1e-5)


def test_the_stage_reports_every_setting_with_its_interval(garments: Path, tmp_path: Path) -> None:
    config = on(load_config("few_shot/vit-micro-p6_600ep_demo"), garments)
    config.update(episodes=50, queries=10, settings=[(4, 1), (4, 5)])
    work_dir = tmp_path / "stages" / "few-shot"
    work_dir.mkdir(parents=True)
    metrics = run(config, "random", work_dir, SilentReporter()).metrics
    assert list(metrics) == ["few-shot/4way1shot", "few-shot/4way5shot"]
    one, five = metrics.values()
    assert five.value > one.value > 0.25
    assert one.ci95 is not None
    assert 0 < one.ci95 < 0.1
