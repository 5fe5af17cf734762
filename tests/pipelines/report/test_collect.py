import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from downstream.outcomes import Grouped
from mae_core import UserError
from mae_core.stage import Metric, StageResult
from pipelines.report.collect import Row, collect, count_groups, of_all
from pipelines.tracking.tracker import Tracker
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
    assert found.losses == {"mae": ((10, 0.9), (20, 0.5))}
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


def run(tracker: Tracker, parent: str, name: str, metric: str, value: float, **tags: str) -> str:
    stage, encoder = name.partition("#")[0].rstrip("]").split("[")
    run_id = tracker.start(name, {"stage": stage, "encoder": encoder, **tags}, parent)
    tracker.finish(run_id, StageResult({metric: Metric(value, 0.02)}))
    return run_id


def test_several_trainings_are_one_row_that_says_of_which_encoders(tracker: Tracker) -> None:
    parent = tracker.start("tiny", {"recipe": "tiny", "stage": "benchmark"})
    runs = {}
    for number, value in enumerate((0.5, 0.6, 0.7)):
        name = f"knn[mae]#{number}" if number else "knn[mae]"
        made = f"made-{number % 2}"
        runs[name] = run(
            tracker, parent, name, "knn/top1", value, seed=str(number), encoder_run=made
        )
    tracker.tag(parent, encoders='["mae"]', cells=json.dumps(runs))
    (row,) = collect(parent, tracker).rows
    assert (row.value, row.mlflow_run_id) == (pytest.approx(0.6), runs["knn[mae]"])
    assert row.ci95 == pytest.approx(0.1 / 3**0.5 * 4.303, rel=1e-3)  # Student's t of two freedoms
    assert [one["encoder_run"] for one in row.seeds] == ["made-0", "made-1", "made-0"]


def test_what_was_trained_from_scratch_stands_for_both_rows(tracker: Tracker) -> None:
    parent = tracker.start("tiny", {"recipe": "tiny", "stage": "benchmark"})
    runs = {
        "finetune[mae]": run(tracker, parent, "finetune[mae]", "fine-tune/top1", 0.7),
        "finetune[random]": run(tracker, parent, "finetune[random]", "fine-tune/top1", 0.6),
        "knn[random]": run(tracker, parent, "knn[random]", "knn/top1", 0.5),
    }
    encoders = ["mae", "random", "supervised"]
    tracker.tag(parent, encoders=json.dumps(encoders), cells=json.dumps(runs))
    found = collect(parent, tracker)
    both = [found.value(encoder, "fine-tune/top1") for encoder in encoders[1:]]
    assert [one.value for one in both] == [0.6, 0.6]
    assert {one.mlflow_run_id for one in both} == {runs["finetune[random]"]}
    assert found.value("supervised", "knn/top1") is None


def test_seeds_on_cases_in_groups_are_joined_with_them() -> None:
    groups = np.repeat(np.arange(6), 5)
    runs = [Grouped(np.random.default_rng(seed).random(30) < 0.6, groups) for seed in range(3)]
    found = of_all(runs)
    assert isinstance(found, Grouped) and found.shape == (3, 30) and count_groups(found) == 6
    assert of_all([*runs, Grouped(runs[0].values, groups[::-1].copy())]) is None
