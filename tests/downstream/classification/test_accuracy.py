import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from downstream.classification.accuracy import Top1, top1


def test_the_interval_is_wilsons() -> None:
    # Wilson's score interval of 8 in 10 is 0.4902 to 0.9433.
    metric = top1(torch.tensor([True] * 8 + [False] * 2))
    assert metric.value == pytest.approx(0.8)
    assert metric.ci95 == pytest.approx(0.8 - 0.4902, abs=1e-3)


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_value_and_interval_stay_in_range(correct: list[bool]) -> None:
    metric = top1(torch.tensor(correct))
    assert metric.value == pytest.approx(sum(correct) / len(correct))
    assert metric.ci95 is not None
    assert 0 < metric.ci95 < 1


def test_the_evaluator_counts_what_it_was_given() -> None:
    metric = Top1()
    metric.process(None, torch.tensor([True, False]))
    metric.process(None, torch.tensor([True, True]))
    assert metric.compute_metrics(metric.results) == {"top1": 0.75}
