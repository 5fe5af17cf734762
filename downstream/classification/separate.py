"""Regressions on frozen features for answers that are no classes: a label at a time, or a number.

Their strengths are chosen by cross-validation, as :mod:`downstream.classification.logistic`'s are.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold

from downstream.classification.logistic import FOLDS, fitted

Predict = Callable[[torch.Tensor], torch.Tensor]
PENALTIES = tuple(10.0**power for power in range(-2, 6))  # of ridge: the more, the stronger


def fit_labels(
    x: torch.Tensor, y: torch.Tensor, groups: NDArray[np.int64] | None = None
) -> Predict:
    """A logistic regression for each label; a function from (M, D) features to (M, L) log-odds.

    A label that all images have, or none, has the same log-odds everywhere.

    Args:
        x: (N, D) features, standardised.
        y: (N, L) float, 1 for the labels of an image.
        groups: (N,) numbers of the images' groups, where they are known.
    """
    models = []
    for own in y.long().T:
        models.append(fitted(x, own, groups) if 0 < own.sum() < len(own) else None)

    def predict(queries: torch.Tensor) -> torch.Tensor:
        same = np.zeros(len(queries))
        features = queries.numpy()
        found = [same if model is None else model.decision_function(features) for model in models]
        return torch.from_numpy(np.stack(found, axis=1))

    return predict


def fit_number(
    x: torch.Tensor, y: torch.Tensor, groups: NDArray[np.int64] | None = None
) -> Predict:
    """A ridge regression; a function from (M, D) features to (M, 1) numbers.

    The penalty is chosen from 0.01 to 1e5 by leaving out one image at a time; where there are as
    many groups as folds, by 5 folds of whole groups.

    Args:
        x: (N, D) features, standardised.
        y: (N, 1) float, the numbers.
        groups: (N,) numbers of the images' groups, where they are known.
    """
    numbers = y[:, 0].double().numpy()
    folds = None
    if groups is not None and len(np.unique(groups)) >= FOLDS:
        folds = list(GroupKFold(FOLDS).split(numbers, groups=groups))
    model = RidgeCV(PENALTIES, cv=folds).fit(x.double().numpy(), numbers)
    return lambda queries: torch.from_numpy(model.predict(queries.double().numpy()))[:, None]
