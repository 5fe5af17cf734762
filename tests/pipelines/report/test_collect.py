from io import BytesIO
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from mlflow.entities import Run
from PIL import Image

from downstream.outcomes import Episodes
from downstream.statistics import mean
from mae_core import UserError
from pipelines.report.collect import Row, collect, joined
from pipelines.tracking import Tracker
from tests.pipelines.report.conftest import CAUSE, FIRST, SECOND, Written


def test_rows_are_in_order_of_encoders_and_tasks(written: Written, tracker: Tracker) -> None:
    runs = written.runs
    assert collect(written.parent, tracker).rows == (
        Row("mae", "knn", "top1", 0.75, 0.02, runs["knn[mae]"]),
        Row("mae", "few-shot", "5way1shot", 0.6, 0.01, runs["few-shot[mae]"]),
        Row("mae", "few-shot", "5way5shot", 0.7, 0.01, runs["few-shot[mae]"]),
        Row("mae", "detect", "box_AP", 0.2, None, runs["detect[mae]"]),
        Row("mae", "detect", "box_AP50", 0.4, None, runs["detect[mae]"]),
        Row(FIRST, "knn", "top1", 0.5, 0.03, runs[f"knn[{FIRST}]"]),
        Row(SECOND, "knn", "top1", 0.25, 0.03, runs[f"knn[{SECOND}]"]),
    )


def test_the_numbers_are_mlflows_whatever_the_stage_said(
    written: Written, tracker: Tracker
) -> None:
    tracker.points(written.runs["knn[mae]"], {"knn/top1": 0.125}, step=0)
    row = collect(written.parent, tracker).value("mae", "knn/top1")
    assert row is not None
    assert row.value == 0.125


def test_losses_failures_durations_and_pictures_are_there(
    written: Written, tracker: Tracker
) -> None:
    found = collect(written.parent, tracker)
    assert (found.recipe, found.run_id) == ("tiny", written.parent)
    assert found.encoders == ("mae", FIRST, SECOND)
    assert found.losses == ((10, 0.9), (20, 0.5))
    assert found.failed == {f"detect[{FIRST}]": CAUSE}
    assert {one.name: one.mlflow_run_id for one in found.stages} == written.runs
    assert all(one.seconds >= 0 for one in found.stages)
    assert found.value(SECOND, "detect/box_AP") is None
    picture = Image.open(BytesIO(found.pictures["pretrain-reconstruction", "mae"]))
    assert picture.getpixel((0, 0)) == written.colours["pretrain[mae]"]


def test_only_a_benchmarks_run_can_be_reported(written: Written, tracker: Tracker) -> None:
    with pytest.raises(UserError, match=r"no MLflow run 'nothing' in sqlite:///"):
        collect("nothing", tracker)
    with pytest.raises(UserError, match="is no finished benchmark: give its parent run's id"):
        collect(written.runs["knn[mae]"], tracker)


def test_few_shot_runs_with_other_seeds_are_joined_by_their_values() -> None:
    """Each has episodes of its own: no case of one is a case of another."""
    rng = np.random.default_rng(0)
    images = rng.permuted(np.tile(np.arange(60), (9, 2, 1)), axis=2)[..., :5]
    draws = [
        Episodes(rng.random((9, 2, 4)) < 0.6, images, np.tile([0, 1], (9, 1))) for _ in range(3)
    ]
    name = "few-shot/2way1shot"
    runs = [
        SimpleNamespace(
            info=SimpleNamespace(run_id=str(seed)),
            data=SimpleNamespace(metrics={name: value}, tags={"seed": str(seed)}),
        )
        for seed, value in enumerate((0.5, 0.6, 0.7))
    ]
    row, cases = joined("mae", name, cast(list[Run], runs), draws)
    assert cases is None and row.value == pytest.approx(0.6)
    assert row.ci95 == pytest.approx(mean([0.5, 0.6, 0.7]).ci95)
