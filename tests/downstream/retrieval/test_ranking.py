import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from downstream.retrieval.ranking import judged, ranked, relevant_counts
from downstream.statistics import mean
from mae_core.stage import SilentReporter

Values = NDArray[np.float64]


def alike(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (count, 6) of four classes, which overlap, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (count,), generator=generator)
    return torch.randn(count, 6, generator=generator) + torch.eye(6)[y], y


def by_hand(scores: Values, relevant: NDArray[np.bool_]) -> tuple[float, int]:
    """MAP@R and the place of the first hit, walking down the list; of equals the wrong come first.

    Of one query, (N,) both.
    """
    order = np.lexsort((relevant, -scores))
    right, total, first = 0, 0.0, 0
    for place, image in enumerate(order, start=1):
        if relevant[image]:
            right += 1
            first = first or place
            if place <= relevant.sum():
                total += right / place
    return total / relevant.sum(), first


@settings(max_examples=80, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 4))
def test_any_order_is_judged_as_scikit_learn_and_a_walk_down_the_list_do(
    data: st.DataObject, count: int, levels: int
) -> None:
    """Few levels make many ties."""
    score = st.sampled_from([float(level) / 4 for level in range(-levels, levels + 1)])
    rows = st.lists(st.tuples(score, st.booleans()), min_size=count, max_size=count)
    drawn = [data.draw(rows) for _ in range(3)]
    scores = torch.tensor([[one for one, _ in row] for row in drawn])
    relevant = torch.tensor([[one for _, one in row] for row in drawn])
    found = judged(scores, relevant)
    assert torch.equal(found.relevant, relevant.sum(dim=1))
    for row in range(3):
        if relevant[row].any():
            truth, given_scores = relevant[row].numpy(), scores[row].double().numpy()
            expected = average_precision_score(truth, given_scores)
            assert found.precision[row].item() == pytest.approx(expected, abs=1e-9)
            at_r, first = by_hand(given_scores, truth)
            assert found.precision_at_r[row].item() == pytest.approx(at_r, abs=1e-9)
            assert found.first[row] == first


@pytest.mark.parametrize("in_groups", [False, True])
def test_a_search_is_scikit_learns_over_all_that_is_not_left_out(in_groups: bool) -> None:
    x, y = alike(70, 0)
    queries, asked = (x, y) if in_groups else alike(40, 1)
    groups = torch.arange(70) // 5 if in_groups else None
    found = ranked(x, y, queries, asked, groups, SilentReporter())
    cosines = cosine_similarity(queries.double(), x.double())
    for row in range(len(queries)):
        kept = np.ones(70, bool) if groups is None else (groups != groups[row]).numpy()
        truth, scores = (y == asked[row]).numpy()[kept], cosines[row][kept]
        assert found.relevant[row] == truth.sum() > 0
        expected = average_precision_score(truth, scores)
        assert found.precision[row].item() == pytest.approx(expected, abs=1e-9)
        at_r, first = by_hand(scores, truth)
        assert found.precision_at_r[row].item() == pytest.approx(at_r, abs=1e-9)
        assert found.first[row] == first


@settings(max_examples=20, deadline=None)
@given(numbers=st.integers(1, 4000), factor=st.floats(0.1, 100))
def test_neither_the_size_of_blocks_nor_of_features_matters(numbers: int, factor: float) -> None:
    (x, y), (queries, asked) = alike(60, 0), alike(30, 1)
    whole = ranked(x, y, queries, asked, None, SilentReporter())
    other = ranked(factor * x, y, queries, asked, None, SilentReporter(), numbers)
    for one, same in zip(whole, other, strict=True):
        assert torch.allclose(one, same)


def test_features_that_tell_nothing_apart_find_nothing() -> None:
    y = torch.arange(20) % 2
    x = torch.ones(20, 3)
    found = ranked(x, y, x, y, None, SilentReporter())
    assert found.precision.tolist() == [0.5] * 20  # the share of relevant images, as by chance
    assert found.first.tolist() == [11] * 20
    assert not found.precision_at_r.any()


def test_the_order_of_the_gallery_does_not_matter() -> None:
    """Even where many have one cosine: of 200 images there are eight kinds."""
    kinds, _ = alike(8, 0)
    x, y = kinds[torch.arange(200) % 8], torch.arange(200) % 3
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    first = ranked(x, y, kinds, torch.arange(8) % 3, None, SilentReporter())
    other = ranked(x[order], y[order], kinds, torch.arange(8) % 3, None, SilentReporter())
    for one, same in zip(first, other, strict=True):
        assert torch.equal(one, same)


@pytest.mark.parametrize("numbers", [1, 50, 10_000])
def test_what_is_relevant_in_other_groups_is_counted_as_the_search_finds_it(numbers: int) -> None:
    x, y = alike(50, 0)
    y[0] = 9  # alone in its class
    groups = torch.arange(50) // 10
    counts = relevant_counts(y, groups, numbers)
    assert counts[0] == 0 < counts[1]
    assert torch.equal(counts, ranked(x, y, x, y, groups, SilentReporter()).relevant)


def test_an_interval_is_about_other_queries_of_one_gallery() -> None:
    """Of images that are searched among themselves it is too narrow, as the stage says."""
    bank, inside, outside = alike(200, 10_000), [], []
    for seed in range(150):
        x, y = alike(150, seed)
        within = ranked(x, y, x, y, torch.arange(150), SilentReporter())
        inside.append(mean(within.precision))
        outside.append(mean(ranked(*bank, x, y, None, SilentReporter()).precision))
    covered = []
    for found in (outside, inside):
        truth = np.mean([one.value for one in found])
        covered.append(np.mean([abs(one.value - truth) <= (one.ci95 or 0) for one in found]))
    assert covered[0] > 0.9 and covered[1] < 0.88, covered
