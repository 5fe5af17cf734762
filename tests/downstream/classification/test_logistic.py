import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from downstream.classification.logistic import FEW, fit_logistic


def test_a_class_of_few_groups_has_no_folds_and_one_of_many_has_them() -> None:
    """What a group has in common is learnt by heart where its images lie in several folds."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    groups = np.arange(120) // 12 * 2 + y  # ten of each class
    x = 0.4 * y[:, None] + rng.normal(size=(20, 30))[groups] + 0.1 * rng.normal(size=(120, 30))
    queries = torch.from_numpy(rng.normal(size=(300, 30)))
    data = torch.from_numpy(x), torch.from_numpy(y)
    few = LogisticRegression(C=FEW, max_iter=300).fit(x, y).predict(queries)
    found = fit_logistic(*data, groups % 4)(queries)
    assert np.array_equal(found, few)
    whole, alone = fit_logistic(*data, groups)(queries), fit_logistic(*data)(queries)
    assert not np.array_equal(whole, alone)
