import dataclasses
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream.outcomes import Grouped, Resampled
from pipelines.report.collect import Benchmark, Row
from pipelines.report.differences import (
    ALL,
    ONE,
    TASK,
    Difference,
    about,
    baselines,
    covers,
    difference,
    differences,
    summaries,
    text,
)
from pipelines.report.stage_runs import StageRun

shares = st.floats(0, 1)


def row(value: float, ci95: float | None = None, encoder: str = "mae", **more: Any) -> Row:
    return Row(encoder, "knn", "top1", value, ci95, "id", **more)


def seeds(*made_by: str) -> tuple[dict[str, Any], ...]:
    return tuple({"seed": n, "value": 0.5, "encoder_run": run} for n, run in enumerate(made_by))


def benchmark(values: dict[str, tuple[float, float]], ci95: float = 0.01) -> Benchmark:
    """By metric the values of `mae`, `random`, `supervised`, each with the same interval."""
    encoders = ("mae", "random", "supervised")
    rows = [
        Row(encoder, *name.split("/"), value, ci95, "id")
        for name, of_metric in values.items()
        for encoder, value in zip(encoders, of_metric, strict=True)
    ]
    return Benchmark("tiny", "id", encoders, tuple(rows), {}, (), {})


@given(first=shares, other=shares, a=st.floats(0.001, 1), b=shares)
def test_without_cases_better_means_beyond_the_intervals_of_independent_tests(
    first: float, other: float, a: float, b: float
) -> None:
    found = difference(row(first, a), row(other, b))
    arm = np.hypot(a, b)
    assert found.difference == first - other and not found.paired
    assert (found.low, found.high) == pytest.approx((first - other - arm, first - other + arm))
    if abs(abs(first - other) - arm) > 1e-9:
        beyond = abs(first - other) > arm
        assert (found.verdict != "no difference shown") == beyond
        assert (found.p < 0.05) == beyond
        if beyond:
            assert found.verdict == ("better" if first > other else "worse")


@given(value=shares, other=shares)
def test_without_intervals_there_is_a_difference_but_no_verdict(value: float, other: float) -> None:
    found = difference(row(value), row(other, 0.1))
    assert (found.verdict, found.low, found.p) == ("", None, None)
    assert float(text(found)) == round(100 * (value - other), 1)


def test_the_same_cases_are_compared_in_pairs() -> None:
    second = np.arange(1000) % 10 < 7
    first = second.copy()
    first[7:100:10] = True  # 10 more of 1000, and none fewer
    metrics = row(first.mean(), 0.03), row(second.mean(), 0.03)
    assert difference(*metrics).verdict == "no difference shown"
    assert difference(*metrics, first, second).verdict == "better"
    assert difference(*metrics, first, second).paired
    assert not difference(*metrics, first, second[:999]).paired


def test_of_an_error_less_is_better() -> None:
    mce = (
        Row("mae", "evaluate", "mCE", 0.5, 0.01, "id"),
        Row("random", "evaluate", "mCE", 0.9, 0.01, "id"),
    )
    assert difference(*mce).verdict == "better"


@pytest.mark.parametrize(
    ("encoders", "expected"),
    [
        (("mae", "random"), ("random",)),
        (("mae", "supervised", "timm:x", "random"), ("random", "supervised")),
        (("mae", "timm:x"), ("timm:x",)),
        (("random", "mae"), ("mae",)),
        (("mae",), ()),
    ],
)
def test_the_first_row_is_compared_with_the_baselines_there_are(
    encoders: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert baselines(replace(benchmark({}), encoders=encoders)) == expected


def test_the_first_of_several_pretrainings_is_compared_with_the_others_too() -> None:
    fields = {field.name: "" for field in dataclasses.fields(StageRun)}
    stages = [StageRun(**{**fields, "stage": "pretrain", "encoder": row}) for row in ("mae", "raw")]
    encoders = ("mae", "raw", "timm:x", "random")
    known = replace(benchmark({}), encoders=encoders, stages=tuple(stages))
    assert baselines(known) == ("random", "raw")
    assert baselines(replace(known, encoders=("timm:x", "mae", "random"))) == ("random",)


def test_the_first_line_counts_against_the_strongest_baseline_of_each_metric() -> None:
    values = {
        "knn/top1": (0.8, 0.6, 0.9),
        "fine-tune/top1": (0.8, 0.7, 0.6),
        "detect/box_AP": (0.5, 0.495, 0.4),
        "evaluate/mCE": (0.4, 0.5, 0.6),  # less is better: random is the stronger
    }
    found = differences(benchmark(values), values)
    strongest = {one.name: one.baseline for one in found if one.strongest}
    assert strongest == {
        "knn/top1": "supervised",
        "fine-tune/top1": "random",
        "detect/box_AP": "random",
        "evaluate/mCE": "random",
    }
    assert summaries(benchmark(values), found) == [
        "mae against the strongest baseline of each metric (random in 3, supervised in 1), "
        f"4 metrics: better in 2, no difference shown in 1, worse in 1 ({ONE})",
        f"mae against random, 4 metrics: better in 3, no difference shown in 1 ({ONE})",
        f"mae against supervised, 4 metrics: better in 3, worse in 1 ({ONE})",
    ]


def test_without_intervals_nothing_is_counted() -> None:
    found = [Difference("mae", "random", "knn", "top1", 0.1)]
    assert summaries(benchmark({}), found) == []


def test_p_is_corrected_for_all_comparisons_of_the_report() -> None:
    values = {"knn/top1": (0.8, 0.6, 0.79), "linear-probe/top1": (0.8, 0.78, 0.8)}
    found = differences(benchmark(values), values)
    ranked = sorted(found, key=lambda one: one.p)
    assert len(ranked) == 4
    assert ranked[0].holm == pytest.approx(4 * ranked[0].p)
    assert all(one.holm >= one.p for one in found)
    assert all(a.holm <= b.holm for a, b in itertools.pairwise(ranked))


def test_a_verdict_says_its_p_and_what_it_is_about() -> None:
    second = np.arange(1000) % 10 < 7
    first = second.copy()
    first[7:100:10] = True
    metrics = row(first.mean(), 0.03), row(second.mean(), 0.03)
    assert text(difference(*metrics, first, second)) == (
        "+1.0, better (p = 0.002): these two trainings, other test images"
    )
    assert "worse (p < 0.001): " in text(difference(*metrics, ~second, second))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (row(0.5), row(0.5, encoder="random"), ONE),
        (row(0.5, seeds=seeds("a", "b")), row(0.5, encoder="random"), ONE),
        (row(0.5, seeds=seeds("a", "b")), row(0.5, encoder="random", seeds=seeds("", "")), ALL),
        (row(0.5, seeds=seeds("a", "a")), row(0.5, encoder="random", seeds=seeds("", "")), TASK),
        (
            row(0.5, seeds=seeds("a", "b")),
            row(0.5, encoder="timm:x", seeds=seeds("", "")),
            TASK,
        ),
    ],
)
def test_a_verdict_is_about_other_trainings_only_where_there_were_several(
    one: Row, other: Row, expected: str
) -> None:
    assert about(one, other) == about(other, one) == expected


def test_an_interval_says_what_it_covers() -> None:
    assert covers(row(0.5)) == "this training, other test images"
    assert covers(row(0.5, seeds=seeds("a", "b"))).startswith("2 encoders")
    assert covers(row(0.5, seeds=seeds("a", "a"))).startswith("2 trainings of the task")


def test_resampled_metrics_of_several_trainings_are_compared_over_both() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.05, 1001)
    first, second = (Resampled(0.5 + images + rng.normal(0, 0.01, (3, 1))) for _ in range(2))
    better = Resampled(first.values + 0.2)
    rows = row(0.5, 0.1), row(0.5, 0.1)
    assert difference(*rows, better, second).verdict == "better"
    assert difference(*rows, first, second).verdict == "no difference shown"


def test_cases_in_groups_are_compared_over_groups() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 40)
    second = rng.random(480) < 0.6
    first = second | (groups < 3)  # better in a quarter of the groups, by much
    one, other = row(first.mean(), groups=12), row(second.mean(), groups=12)
    paired = difference(one, other, Grouped(first, groups), Grouped(second, groups))
    alone = difference(one, other, first, second)
    assert alone.verdict == "better" and paired.verdict == "no difference shown"
    assert paired.paired and paired.about == "these two trainings, other groups of test images"
    assert covers(one) == "this training, other groups of test images (12)"
    elsewhere = Grouped(second, groups[::-1].copy())
    assert not difference(one, other, Grouped(first, groups), elsewhere).paired
