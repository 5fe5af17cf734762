"""Logistic regression on frozen features, its strength chosen by cross-validation."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import BaseCrossValidator, GridSearchCV, StratifiedKFold

STRENGTHS = tuple(10.0**power for power in range(-4, 2))  # C: the less, the stronger the penalty
FOLDS, ITERATIONS = 5, 300
FEW = 1e-2  # C where a class has too few images for folds


def fit_logistic(x: torch.Tensor, y: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Fit on standardised features; a function from (M, D) features to (M,) labels.

    C is chosen from 1e-4 to 10 by stratified 5-fold cross-validation, or 0.01 where a class has
    fewer than five images.

    Args:
        x: (N, D) features.
        y: (N,) int64 labels of at least two classes.
    """
    model = LogisticRegression(C=FEW, max_iter=ITERATIONS)
    _, images = np.unique(y.numpy(), return_counts=True)
    if images.min() >= FOLDS:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        model = search_strength(STRENGTHS, folds, ITERATIONS)
    fit_quietly(model, x.numpy(), y.numpy())
    return lambda queries: torch.from_numpy(model.predict(queries.numpy()))


def search_strength(
    strengths: Sequence[float], folds: BaseCrossValidator, iterations: int
) -> GridSearchCV:
    """A logistic regression, to be fitted, whose C is chosen among `strengths` by `folds`."""
    return GridSearchCV(LogisticRegression(max_iter=iterations), {"C": strengths}, cv=folds)


def fit_quietly(
    model: LogisticRegression | GridSearchCV, x: NDArray[np.float32], y: NDArray[np.int64]
) -> None:
    """Fit on x (N, D) and y (N,), whether or not every strength converges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a weak penalty; another C wins then
        model.fit(x, y)
