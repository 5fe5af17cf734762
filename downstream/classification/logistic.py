"""Logistic regression on frozen features, its strength chosen by cross-validation."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    BaseCrossValidator,
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
)

STRENGTHS = tuple(10.0**power for power in range(-4, 2))  # C: the less, the stronger the penalty
FOLDS, ITERATIONS = 5, 300
FEW = 1e-2  # C where a class has too few images for folds


def fit_logistic(
    x: torch.Tensor, y: torch.Tensor, groups: NDArray[np.int64] | None = None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Fit on standardised features; a function from (M, D) features to (M,) labels."""
    model = fitted(x, y, groups)
    return lambda queries: torch.from_numpy(model.predict(queries.numpy()))


def fitted(
    x: torch.Tensor, y: torch.Tensor, groups: NDArray[np.int64] | None = None
) -> LogisticRegression | GridSearchCV:
    """A model, fitted on standardised features.

    C is chosen from 1e-4 to 10 by stratified 5-fold cross-validation, or 0.01 where a class has
    fewer than five images. Groups stay whole in folds, so a class must have five of them.

    Args:
        x: (N, D) features.
        y: (N,) int64 labels of at least two classes.
        groups: (N,) numbers of the images' groups, where they are known.
    """
    model = LogisticRegression(C=FEW, max_iter=ITERATIONS)
    labels = y.numpy()
    if groups is None:
        units = np.unique(labels, return_counts=True)[1]
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    else:
        pairs = np.unique(np.stack([labels, groups]), axis=1)
        units = np.unique(pairs[0], return_counts=True)[1]
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    if units.min() >= FOLDS:
        splits = list(folds.split(labels, labels, groups))
        model = search_strength(STRENGTHS, splits, ITERATIONS)
    fit_quietly(model, x.numpy(), labels)
    return model


def search_strength(
    strengths: Sequence[float], folds: BaseCrossValidator | list[Any], iterations: int
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
