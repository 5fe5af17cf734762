"""How often 95 % intervals of resampled metrics hold the truth, of which many images are the same.

Labels and numbers are drawn from a model whose own value is that of a million images. Each round
has other images, and the interval of :func:`downstream.statistics.over_resamples` of them.

    python -m benchmarks.intervals --rounds 1000
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from downstream.classification.label_metrics import LABEL_METRICS
from downstream.classification.metrics import resampled
from downstream.classification.number_metrics import NUMBER_METRICS
from downstream.statistics import over_resamples

Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Values, Values]]  # answers, truth of N images
MILLION, COUNTS = 10**6, (50, 100, 400)
RARITY = np.array([0.3, 0.15, 0.05])  # shares of the images that have each of the labels
NAMES = ("map", "r2", "mae", "rmse", "spearman")


def main() -> None:
    """Print the table of RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    rounds = parser.parse_args().rounds
    print(f"| images | {' | '.join(NAMES)} |")
    print(f"|---:|{'---:|' * len(NAMES)}")
    for count in COUNTS:
        shown = [f"{coverage(name, count, rounds, seed=0):.1%}" for name in NAMES]
        print(f"| {count} | {' | '.join(shown)} |", flush=True)


def coverage(name: str, count: int, rounds: int, seed: int) -> float:
    """The share of rounds whose interval holds the metric's value of a million images.

    Args:
        name: of the metric.
        count: of the images of a round.
        rounds: how many.
        seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    metric, draw = (
        (LABEL_METRICS[name], labels) if name == "map" else (NUMBER_METRICS[name], numbers)
    )
    truth = metric(*draw(rng, MILLION))(np.ones(MILLION))
    held = 0
    for _ in range(rounds):
        found = over_resamples(resampled(metric(*draw(rng, count)), count))
        held += found.ci95 is not None and abs(found.value - truth) <= found.ci95
    return held / rounds


def labels(rng: np.random.Generator, count: int) -> tuple[Values, Values]:
    """Probabilities and truth of labels of which one is rare."""
    truth = (rng.random((count, len(RARITY))) < RARITY).astype(np.float64)
    logits = rng.normal(size=truth.shape) + 2 * truth - 1
    return 1 / (1 + np.exp(-logits)), truth


def numbers(rng: np.random.Generator, count: int) -> tuple[Values, Values]:
    """Answers and truth whose r2 is about 0.5; errors have wider tails than normal ones."""
    truth = rng.normal(size=(count, 1))
    return truth + 0.55 * rng.standard_t(5, size=(count, 1)), truth


if __name__ == "__main__":
    main()
