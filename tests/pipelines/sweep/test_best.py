"""Whether the number that a sweep reports may be believed."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from downstream.statistics import mean, share
from mae_core.stage import Metric
from pipelines.sweep.best import best_of, fresh_seeds, settings, stretch
from pipelines.sweep.collect import Entry

GOAL = "knn/top1"
SIMULATIONS, TRIALS, IMAGES, TRUTH = 1000, 16, 400, 0.7


def trial(values: dict[str, float], metric: Metric) -> Entry:
    assert metric.ci95 is not None
    intervals = {GOAL: metric.ci95}
    return Entry(values, "complete", {GOAL: metric.value}, intervals, {}, "", str(values))


def winners(shared: float) -> Iterator[Entry]:
    """Of sweeps whose trials are equally good; on `shared` of the images all agree."""
    rng = np.random.default_rng(0)
    for _ in range(SIMULATIONS):
        own = rng.random((TRIALS, IMAGES)) < TRUTH
        same = rng.random(IMAGES) < TRUTH
        correct: NDArray[np.bool_] = np.where(rng.random(IMAGES) < shared, same, own)
        trials = [trial({"ratio": float(n)}, share(row)) for n, row in enumerate(correct)]
        best = best_of(trials, GOAL)
        assert best is not None
        yield best.trials[0]


def covers(value: float, arm: float) -> bool:
    return abs(value - TRUTH) <= arm


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_of_equal_trials_the_winner_is_covered_on_other_images_and_by_the_wider_interval(
    shared: float,
) -> None:
    rng = np.random.default_rng(1)
    plain, other, wider = 0, 0, 0
    for winner in winners(shared):
        value, arm = winner.metrics[GOAL], winner.intervals[GOAL]
        held_out = share(rng.random(IMAGES) < TRUTH)
        assert held_out.ci95 is not None
        plain += covers(value, arm)
        wider += covers(value, arm * stretch(TRIALS, 1))
        other += covers(held_out.value, held_out.ci95)
    assert plain / SIMULATIONS < (0.75 if not shared else 0.93)
    assert 0.93 <= other / SIMULATIONS <= 0.97
    assert wider / SIMULATIONS >= 0.95


def test_of_equal_settings_with_a_few_seeds_each_the_wider_interval_covers_other_trainings() -> (
    None
):
    """Trainings differ, images do not matter: only Student's quantile covers so few of them."""
    rng = np.random.default_rng(0)
    plain, wider, fresh = 0, 0, 0
    for _ in range(SIMULATIONS):
        scores = rng.normal(TRUTH, 0.02, (TRIALS, 3))
        best = max(scores, key=lambda row: float(row.mean()))
        again = mean(rng.normal(TRUTH, 0.02, 3))
        found = mean(best)
        assert found.ci95 is not None and again.ci95 is not None
        plain += covers(found.value, found.ci95)
        wider += covers(found.value, found.ci95 * stretch(TRIALS, 3))
        fresh += covers(again.value, again.ci95)
    assert plain / SIMULATIONS < 0.85
    assert wider / SIMULATIONS >= 0.95
    assert 0.93 <= fresh / SIMULATIONS <= 0.97


def test_the_interval_for_the_best_of_many_has_the_quantile_of_dunn() -> None:
    assert stretch(1, 1) == stretch(1, 3) == pytest.approx(1)
    assert stretch(7, 1) == pytest.approx(stats.norm.isf(0.025 / 7) / stats.norm.isf(0.025))
    assert stretch(7, 4) == pytest.approx(stats.t.isf(0.025 / 7, 3) / stats.t.isf(0.025, 3))


def test_the_winner_is_trained_again_with_seeds_that_no_trial_had() -> None:
    trials = [trial({"ratio": r, "seed": s}, Metric(r, 0.1)) for r in (0.2, 0.3) for s in (4, 5)]
    best = best_of(trials, GOAL)
    assert best is not None
    assert fresh_seeds(best, trials, repeats=1) == [6, 7]
    # Each trial's stages go through three seeds: 4 to 6 and 5 to 7, the winner's 8 to 10, 11 to 13.
    assert fresh_seeds(best, trials, repeats=3) == [8, 11]
    assert settings(trials[0].values) == settings(trials[1].values) != settings(best.values)
    single = [trial({"ratio": 0.5}, Metric(0.5, 0.1))]
    alone = best_of(single, GOAL)
    assert alone is not None and fresh_seeds(alone, single, repeats=1) == []
