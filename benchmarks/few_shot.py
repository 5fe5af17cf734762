"""Seconds that few-shot episodes on cached features take, beside scikit-learn's, one by one.

python -m benchmarks.few_shot --width 768
"""

import argparse
import time
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import machine
from downstream.few_shot.episodes import classified, draw
from downstream.few_shot.heads import HEADS

CLASSES, EACH = 20, 600  # of mini-ImageNet's test set
QUERIES = 15
SINGLE = 100  # episodes for scikit-learn
MODELS: dict[str, Any] = {
    "centroid": NearestCentroid(),
    "logistic": LogisticRegression(),
    "ridge": RidgeClassifier(),
}


def features(width: int) -> tuple[Tensor, Tensor]:
    """(N, width) features of as many classes as far apart as a good encoder's, and labels (N,)."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(CLASSES).repeat_interleave(EACH)
    means = torch.randn(CLASSES, width, generator=generator)
    noise = torch.randn(len(y), width, generator=generator)
    return means[y] + 0.2 * width**0.5 * noise, y


def one_by_one(head: str, x: Tensor, y: Tensor, ways: int, shots: int) -> float:
    """Seconds an episode of a loop over scikit-learn's fit and score."""
    unit = F.normalize(x).numpy()
    drawn = draw(y.numpy(), ways, shots + QUERIES, SINGLE, np.random.default_rng(0))
    truth = np.arange(ways)
    begun = time.perf_counter()
    for episode in drawn:
        support, query = unit[episode[:, :shots].ravel()], unit[episode[:, shots:].ravel()]
        model = MODELS[head].fit(support, truth.repeat(shots))
        model.score(query, truth.repeat(QUERIES))
    return (time.perf_counter() - begun) / SINGLE


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=768, help="of the features")
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", RuntimeWarning)  # a class of one image has no deviation
    x, y = features(arguments.width)
    print(machine("cpu"), "\n")
    print(f"{arguments.episodes} episodes of {QUERIES} queries a class, width {arguments.width}\n")
    print("| episodes | head | accuracy | seconds | scikit-learn's, one by one |")
    print("|---|---|---:|---:|---:|")
    for ways, shots in ((5, 1), (5, 5), (10, 5)):
        for head in HEADS:
            begun = time.perf_counter()
            found = classified(x, y, ways, shots, QUERIES, arguments.episodes, [head], 0)[head]
            seconds = time.perf_counter() - begun
            single = arguments.episodes * one_by_one(head, x, y, ways, shots)
            row = f"{ways}-way {shots}-shot | {head} | {found.correct.mean():.4f} | {seconds:.1f}"
            print(f"| {row} | {single:.0f} |", flush=True)


if __name__ == "__main__":
    main()
