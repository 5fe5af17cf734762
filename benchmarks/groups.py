"""How often 95 % intervals hold the truth where test images come in groups.

Whether an encoder is right on an image is drawn with its group's own accuracy, a beta distribution
around the encoder's whose intra-class correlation is `--correlation`. Two encoders are compared,
alone and with three trainings each, whose groups' accuracies differ as much as encoders' do.

    python -m benchmarks.groups --rounds 1000
"""

import argparse
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from downstream.outcomes import Grouped
from downstream.statistics import compare, over_trainings, share

ACCURACY, EACH, UNEQUAL, TRAININGS, SPREAD = 0.7, 10, 9, 3, 0.03
COUNTS = (5, 10, 20, 40, 100)
RESAMPLES = 500


def main() -> None:
    """Print the table of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--correlation", type=float, default=0.3)
    given = parser.parse_args()
    print("| groups | sizes | images | bootstrap | share | difference | trainings | told apart |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|")
    for count in COUNTS:
        for sizes in ("equal", "unequal"):
            found = coverages(count, given.correlation, given.rounds, 0, sizes, percentiles=True)
            kinds = ("share of images", "bootstrap", "share", "difference", "trainings")
            shown = [f"{found[kind]:.1%}" for kind in (*kinds, "told apart")]
            print(f"| {count} | {sizes} | {' | '.join(shown)} |", flush=True)


def coverages(
    groups: int,
    correlation: float,
    rounds: int,
    seed: int,
    sizes: str = "equal",
    percentiles: bool = False,
) -> dict[str, float]:
    """How often an interval held the truth, by what it is of.

    Args:
        groups: how many, of 10 images, or with `sizes='unequal'` of 9 on average, 1 to some 60.
        correlation: of two images of a group being right, above 0.
        rounds: simulations.
        seed: of these.
        sizes: 'equal' or 'unequal'.
        percentiles: add the percentile bootstrap of groups.
    """
    rng, held = np.random.default_rng(seed), dict[str, list[bool]]()
    for _ in range(rounds):
        each = np.full(groups, EACH)
        if sizes == "unequal":
            each = rng.geometric(1 / UNEQUAL, groups)
        of, draw = np.repeat(np.arange(groups), each), partial(right, rng, correlation, each)
        first, second = Grouped(draw(0.0)[0], of), Grouped(draw(0.0)[0], of)
        note(held, "share", share(first))
        note(held, "share of images", share(first.values))
        if percentiles:
            low, high = bootstrap(rng, first)
            held.setdefault("bootstrap", []).append(low <= ACCURACY <= high)
        found = compare(first, second)
        held.setdefault("difference", []).append(found.low <= 0 <= found.high)
        held.setdefault("told apart", []).append(found.verdict != "no difference shown")
        values = draw(SPREAD, TRAININGS)
        note(held, "trainings", over_trainings(values, of))
    return {kind: float(np.mean(values)) for kind, values in held.items()}


def right(
    rng: np.random.Generator,
    correlation: float,
    each: NDArray[np.int64],
    spread: float,
    trainings: int = 1,
) -> NDArray[np.bool_]:
    """(trainings, N): which images are classified correctly; groups are as hard for all of them."""
    scale = (1 - correlation) / correlation
    hardness = rng.random(len(each))  # the place of a group among groups
    rows = []
    for own in ACCURACY + spread * rng.standard_normal(trainings):
        of_group = stats.beta.ppf(hardness, own * scale, (1 - own) * scale)
        rows.append(rng.random(int(each.sum())) < np.repeat(of_group, each))
    return np.stack(rows)


def note(held: dict[str, list[bool]], kind: str, metric: object) -> None:
    """Add whether the interval of a metric holds the accuracy."""
    value, arm = metric.value, metric.ci95  # type: ignore[attr-defined]
    held.setdefault(kind, []).append(abs(value - ACCURACY) <= arm)


def bootstrap(rng: np.random.Generator, cases: Grouped) -> NDArray[np.float64]:
    """The percentile interval over resampled groups, for comparison."""
    sizes = np.bincount(cases.groups)
    sums = np.bincount(cases.groups, cases.values)
    drawn = rng.integers(0, len(sizes), (RESAMPLES, len(sizes)))
    return np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])


if __name__ == "__main__":
    main()
