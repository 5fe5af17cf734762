from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mae_core.stage import Metric
from pipelines.tracking.stored_run import StoredRun, decoded, encoded, units


def run_with(**tags: str) -> StoredRun:
    return StoredRun(
        "1", "knn[mae]", "FINISHED", datetime(2026, 11, 26, 23, tzinfo=UTC), 1.0, {}, {}, tags, ""
    )


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: not name.endswith("_ci95")),
        st.builds(
            Metric,
            st.floats(allow_nan=False),
            st.none() | st.floats(allow_nan=False),
            st.sampled_from(["", "px", "years"]),
        ),
    )
)
def test_metrics_come_back_with_their_intervals(metrics: dict[str, Metric]) -> None:
    assert decoded(encoded(metrics), units(metrics)) == metrics


def test_an_interval_has_the_name_that_it_always_had_in_mlflow() -> None:
    assert encoded({"knn/top1": Metric(0.5, 0.25)}) == {"knn/top1": 0.5, "knn/top1_ci95": 0.25}


def test_what_is_not_tracked_is_empty() -> None:
    run = run_with()
    assert (run.stage, run.encoder, run.recipe, run.parent) == ("", "", "", "")
    assert (run.seed, run.labels, run.data, run.code) == (None, None, {}, {})
    assert run.date == "2026-11-26"


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("abc", {"hash": "abc"}),  # as older runs have it
        ("12", {"hash": "12"}),
        ('{"hash": "abc", "commit": "def"}', {"hash": "abc", "commit": "def"}),
    ],
)
def test_the_code_of_older_runs_is_read_too(tag: str, code: dict[str, Any]) -> None:
    assert run_with(code=tag).code == code
