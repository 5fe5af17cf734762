from pathlib import Path

from pipelines.sweep.space import Sweep, load_sweep
from pipelines.sweep.study import Past, new_study
from tests.pipelines.sweep.conftest import Write, halves

KEY = "pretrain.mae.mask_ratio"
GRID = f"{{'{KEY}': [0.25, 0.5, 0.75]}}"
RANGE = f"{{'{KEY}': dict(low=0.1, high=0.75)}}"


def asked(sweep: Sweep, past: list[Past]) -> list[float]:
    """The ratios of the trials that are left."""
    study, left = new_study(sweep, past)
    return [study.ask(sweep.space).params[KEY] for _ in range(left)]


def test_a_grid_asks_for_what_is_missing_in_order(write: Write) -> None:
    sweep = load_sweep(write(GRID))
    assert asked(sweep, []) == [0.25, 0.5, 0.75]
    past = [
        Past({KEY: 0.5}, "a", finished=True, goal=0.6),
        Past({KEY: 0.75}, "b", finished=False),
        Past({KEY: 0.9}, "c", finished=True, goal=0.7),  # in the grid of an earlier call
    ]
    assert asked(sweep, past) == [0.25, 0.75]
    assert asked(sweep, [*past, *(Past({KEY: v}, "", True, 0.1) for v in (0.25, 0.75))]) == []


def test_tpe_goes_on_with_what_was_begun_and_then_looks_where_it_is_best(
    write: Write, images: Path
) -> None:
    sweep = load_sweep(write(RANGE, sampler="'tpe'", trials="40", **halves(images)))
    places = [0.1 + 0.02 * number for number in range(30)]
    past = [Past({KEY: v}, "", True, goal=1 - abs(v - 0.3)) for v in places]
    past.append(Past({KEY: 0.7123}, "", finished=False))
    ratios = asked(sweep, past)
    assert len(ratios) == 10
    assert ratios[0] == 0.7123
    assert sum(abs(ratio - 0.3) < 0.15 for ratio in ratios[1:]) >= 6
    assert asked(sweep, past) == ratios


def test_a_past_trial_counts_when_another_is_pruned(write: Write) -> None:
    pruning = "dict(metric='loss', first=0.25, keep=0.5)"
    sweep = load_sweep(write(GRID, pruning=pruning))
    good = Past({KEY: 0.25}, "", True, 0.9, reported={25: 0.2, 50: 0.1, 100: 0.05})
    verdicts = {}
    for loss in (0.1, 0.3):
        study, _ = new_study(sweep, [good])
        trial = study.ask(sweep.space)
        trial.report(sweep.sign * loss, 24)
        early = trial.should_prune()
        trial.report(sweep.sign * loss, 26)
        verdicts[loss] = (early, trial.should_prune())
    assert verdicts == {0.1: (False, False), 0.3: (False, True)}
