from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mae_core.stage import Metric
from pipelines.report.collect import Benchmark, Row
from pipelines.report.encoders import (
    BASELINES,
    FILES,
    MADE,
    TRIVIAL,
    Facts,
    facts,
    facts_of,
    group_of,
    in_order,
    input_sizes,
    mean_ranks,
    shown_count,
)
from pipelines.tracking.stored_run import StoredRun


def run(stage: str, encoder: str, **tags: str) -> StoredRun:
    own = {"stage": stage, "encoder": encoder, **tags}
    when = datetime(2026, 11, 30, tzinfo=UTC)
    return StoredRun(stage, stage, "FINISHED", when, 1.0, {"a": Metric(0)}, {}, own, "")


def benchmark(*runs: StoredRun, rows: tuple[Row, ...] = ()) -> Benchmark:
    names = [row.encoder for row in rows] or [one.encoder for one in runs]
    by_cell = {f"{one.stage}[{one.encoder}]": one for one in runs}
    return Benchmark("tiny", "id", tuple(dict.fromkeys(names)), rows, {}, {}, {}, runs=by_cell)


def test_facts_are_read_from_tags_and_what_is_damaged_is_unknown() -> None:
    tags = {
        "encoder.arch": "timm:resnet18",
        "encoder.family": "timm",
        "encoder.parameters": "11176512",
        "encoder.gflops": "3.627",
        "encoder.input_size": "224x192",
        "encoder.licence": "apache-2.0",
        "encoder.protocol": "same",
    }
    found = facts_of(run("knn", "x", **tags))
    assert found == Facts(
        "timm:resnet18", "timm", 11176512, 3.627, (224, 192), "apache-2.0", "same"
    )
    assert (found.size, found.cost, found.pixels) == ("11.2 M", "3.63", "224×192")
    assert facts_of(run("knn", "x")) == Facts()
    odd = {f"encoder.{name}": "odd" for name in ("parameters", "gflops", "input_size")}
    assert facts_of(run("knn", "x", **odd)) == Facts()
    assert (Facts().size, Facts().cost, Facts().pixels) == ("unknown",) * 3


def test_the_facts_of_a_row_are_those_of_its_tasks_rather_than_of_its_pretraining() -> None:
    runs = [
        run("pretrain", "mae", **{"encoder.parameters": "1", "encoder.input_size": "16x16"}),
        run("knn", "mae", **{"encoder.parameters": "2", "encoder.input_size": "32x32"}),
        run("detect", "mae", **{"encoder.parameters": "3", "encoder.input_size": "64x64"}),
        run("segment", "mae", **{"encoder.parameters": "3", "encoder.input_size": "64x64"}),
    ]
    found = benchmark(*runs)
    assert facts(found, "mae").parameters == 2
    assert input_sizes(found, "mae") == "32×32 (detect and segment 64×64, pretrain 16×16)"
    assert facts(found, "other") == Facts() and input_sizes(found, "other") == "unknown"


def test_a_licence_says_what_it_forbids_and_a_file_without_one_is_unknown() -> None:
    assert Facts(licence="CC-BY-NC-4.0").licence_shown(True) == "CC-BY-NC-4.0 (non-commercial)"
    assert Facts(licence="mit").licence_shown(True) == "mit"
    assert (Facts().licence_shown(True), Facts().licence_shown(False)) == ("unknown", "–")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (685344, "685 k"),
        (999_600, "1 M"),
        (85_798_656, "85.8 M"),
        (1_011_000_000, "1.01 G"),
    ],
)
def test_numbers_of_parameters_are_short(number: int, expected: str) -> None:
    assert shown_count(number) == expected


def test_a_row_is_in_a_group_by_what_made_it() -> None:
    found = benchmark(
        run("pretrain", "mae"),
        run("knn", "mae"),
        run("supervise", "supervised"),
        run("knn", "random"),
        run("knn", "fresh", encoder_spec="timm:resnet18@random"),
        run("knn", "timm:resnet18"),
        run("knn", "thumbs", encoder_spec="pixels"),
        run("knn", "rcf"),
    )
    found.failed["pretrain[raw]"] = "cause"
    expected = {
        "mae": MADE,
        "raw": MADE,
        "supervised": BASELINES,
        "random": BASELINES,
        "fresh": BASELINES,
        "timm:resnet18": FILES,
        "a/file.pth": FILES,
        "thumbs": TRIVIAL,
        "rcf": TRIVIAL,
    }
    assert {name: group_of(found, name) for name in expected} == expected


def rows(**values: tuple[float | None, ...]) -> tuple[Row, ...]:
    """By row its knn, two metrics of few-shot, and an error."""
    names = ("knn/top1", "few-shot/5way1shot", "few-shot/5way5shot", "evaluate/mCE")
    return tuple(
        Row(encoder, *name.split("/"), value, None, "id")
        for encoder, of_row in values.items()
        for name, value in zip(names, of_row, strict=True)
        if value is not None
    )


def test_ranks_are_averaged_over_metrics_then_over_tasks() -> None:
    numbers = rows(a=(0.9, 0.5, 0.4, 0.2), b=(0.8, 0.5, 0.5, 0.1), c=(0.7, 0.3, 0.6, None))
    found = benchmark(rows=numbers)
    names = ["knn/top1", "few-shot/5way1shot", "few-shot/5way5shot", "evaluate/mCE"]
    assert mean_ranks(found, names) == {
        "a": pytest.approx((1 + (1.5 + 3) / 2 + 2) / 3),
        "b": pytest.approx((2 + (1.5 + 2) / 2 + 1) / 3),  # of an error the least is the best
        "c": pytest.approx((3 + (3 + 1) / 2) / 2),
    }
    assert mean_ranks(found, []) == {}


def test_the_first_row_is_first_with_its_group_and_the_others_go_by_rank() -> None:
    runs = [run("pretrain", name) for name in ("mae", "better", "worse")]
    runs += [run("knn", name) for name in ("timm:a", "timm:b", "pixels", "random")]
    found = benchmark(*runs)
    ranks = {"better": 1.0, "mae": 3.0, "worse": 4.0, "timm:b": 1.5, "timm:a": 2.5, "random": 5.0}
    expected = ["mae", "better", "worse", "timm:b", "timm:a", "random", "pixels"]
    assert in_order(found, ranks) == expected
    first = ("timm:a", "mae", "better", "worse", "random", "pixels", "timm:b")
    expected = ["timm:a", "timm:b", "better", "mae", "worse", "random", "pixels"]
    assert in_order(replace(found, encoders=first), ranks) == expected
