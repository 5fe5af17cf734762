import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import NearestCentroid
from torch.nn import functional as F

from downstream.few_shot.heads import logistic, nearest_centroid, ridge

EPISODES, QUERIES = 60, 75


def episodes(ways: int, shots: int, width: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(ways * shots)
    means = torch.randn(EPISODES, ways, 1, width, generator=generator)
    support = means + 2 * torch.randn(EPISODES, ways, shots, width, generator=generator)
    each = QUERIES // ways
    query = means + 2 * torch.randn(EPISODES, ways, each, width, generator=generator)
    return F.normalize(support, dim=-1), F.normalize(query.flatten(1, 2), dim=-1)


def labels(ways: int, shots: int) -> list[int]:
    return [way for way in range(ways) for _ in range(shots)]


def test_the_centroid_is_scikit_learns() -> None:
    """On one support image a class, where the nearest by cosine is the nearest by distance."""
    support, query = episodes(5, 1)
    for x, q, found in zip(support, query, nearest_centroid(support, query), strict=True):
        model = NearestCentroid().fit(x.flatten(0, 1).numpy(), labels(5, 1))
        assert model.predict(q.numpy()).tolist() == found.tolist()


def test_the_centroid_of_several_is_by_the_cosine_to_their_mean() -> None:
    support, query = episodes(4, 3)
    means = support.mean(dim=2)
    cosine = F.cosine_similarity(query[:, :, None], means[:, None], dim=-1)
    assert torch.equal(nearest_centroid(support, query), cosine.argmax(-1))


@pytest.mark.parametrize(("ways", "shots"), [(5, 1), (5, 5), (10, 5)])
def test_logistic_regression_is_within_a_fifth_of_a_point_of_scikit_learns(
    ways: int, shots: int
) -> None:
    support, query = episodes(ways, shots)
    truth = torch.tensor(labels(ways, query.shape[1] // ways))
    found = (logistic(support, query) == truth).float().mean()
    expected = [
        LogisticRegression(C=1.0, tol=1e-8, max_iter=2000)
        .fit(x.flatten(0, 1).numpy(), labels(ways, shots))
        .score(q.numpy(), truth.numpy())
        for x, q in zip(support, query, strict=True)
    ]
    assert float(found) == pytest.approx(sum(expected) / EPISODES, abs=0.002)


def test_ridge_regression_is_scikit_learns() -> None:
    support, query = episodes(5, 4)
    y = torch.eye(5).repeat_interleave(4, 0).numpy() - 0.2
    for x, q, found in zip(support, query, ridge(support, query), strict=True):
        model = Ridge(alpha=1.0, fit_intercept=False).fit(x.flatten(0, 1).numpy(), y)
        assert model.predict(q.numpy()).argmax(1).tolist() == found.tolist()
