"""Logistic regression on frozen features, its strength chosen by cross-validation."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

STRENGTHS = tuple(10.0**power for power in range(-4, 2))  # C: the less, the stronger the penalty
FOLDS = 5
FEW = 1e-2  # C where a class has too few images for folds


def fit_logistic(x: torch.Tensor, y: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Fit on standardised features; a function from (M, D) features to (M,) labels.

    C is chosen from 1e-4 to 10 by stratified 5-fold cross-validation, or 0.01 where a class has
    fewer than five images.

    Args:
        x: (N, D) features.
        y: (N,) int64 labels of at least two classes.
    """
    model = LogisticRegression(C=FEW, max_iter=300)
    if int(np.bincount(y.numpy())[np.unique(y.numpy())].min()) >= FOLDS:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        model = GridSearchCV(model, {"C": STRENGTHS}, cv=folds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a weak penalty; another C wins then
        model.fit(x.numpy(), y.numpy())
    return lambda queries: torch.from_numpy(model.predict(queries.numpy()))
