import json
from pathlib import Path

import pytest

from mae_core.stage import Metric, StageResult
from pipelines.report.collect import Benchmark, Row, collect
from pipelines.report.differences import differences
from pipelines.report.names import other_unit
from pipelines.report.published import Published
from pipelines.report.tables import (
    WIDEST,
    best,
    head,
    missing,
    one_by_one,
    parts,
    shortened,
    tables,
    with_labels,
)
from pipelines.tracking.tracker import Tracker
from tests.pipelines.report.conftest import FIRST, SECOND, Written


def benchmark(*rows: Row) -> Benchmark:
    encoders = tuple(dict.fromkeys(row.encoder for row in rows))
    return Benchmark("tiny", "id", encoders, rows, {}, {}, {})


def test_the_table_shows_percent_the_best_and_what_failed(
    written: Written, tracker: Tracker
) -> None:
    found = collect(written.parent, tracker)
    names = ["knn/top1", "detect/box_AP"]
    (table,) = tables(found, found.encoders, names, differences(found, names))
    assert table.heads == ("kNN, top-1", "Detection, box AP")
    mae, first, second = table.lines
    assert [line.encoder for line in table.lines] == ["mae", FIRST, SECOND]
    assert [cell.text for cell in mae.cells] == ["75.0 ± 2.0", "20.0"]
    assert [cell.text for cell in first.cells] == ["50.0 ± 3.0", "failed"]
    assert [cell.text for cell in second.cells] == ["25.0 ± 3.0", "–"]
    assert [cell.best for line in table.lines for cell in line.cells] == [True] * 2 + [False] * 4
    assert (mae.cells[0].compared, mae.cells[0].said) == ("", "")
    assert second.cells[0].compared == "+50.0 ▲"
    assert second.cells[0].said == (
        "+50.0, better (p < 0.001, Holm < 0.001): these two trainings, other test images"
    )
    assert second.cells[1].compared == ""


def test_of_an_error_the_least_is_the_best() -> None:
    mce = (
        Row("mae", "evaluate", "mCE", 0.5, 0.01, "id"),
        Row("random", "evaluate", "mCE", 0.9, 0.01, "id"),
    )
    assert best("evaluate/mCE", mce) == 0 and best("knn/top1", mce) == 1


def test_rows_of_the_same_best_value_are_all_marked_and_losses_have_verdicts_too() -> None:
    rows = [
        Row(encoder, "knn", "top1", value, 0.01, "id")
        for encoder, value in (("mae", 0.5), ("random", 0.8), ("supervised", 0.8), ("x", 0.505))
    ]
    found = benchmark(*rows)
    (table,) = tables(found, found.encoders, ["knn/top1"], differences(found, ["knn/top1"]))
    cells = [line.cells[0] for line in table.lines]
    assert [cell.best for cell in cells] == [False, True, True, False]
    assert [cell.compared for cell in cells] == ["", "-30.0 ▼", "-30.0 ▼", "-0.5 ○"]
    assert [line[4] for line in one_by_one(differences(found, ["knn/top1"]))] == [
        "worse",
        "worse",
        "no difference shown",
    ]


def test_without_intervals_there_is_a_difference_without_a_verdict() -> None:
    found = benchmark(*(Row(e, "knn", "top1", v, None, "id") for e, v in (("mae", 1), ("x", 0.5))))
    apart = differences(found, ["knn/top1"])
    (table,) = tables(found, found.encoders, ["knn/top1"], apart)
    assert table.lines[1].cells[0].compared == "+50.0"
    assert one_by_one(apart) == [("kNN, top-1", "x", "+50.0", *"–––––")]


def test_a_published_figure_stands_in_its_rows_line_alone() -> None:
    found = benchmark(*(Row(e, "knn", "top1", 0.5, 0.01, "id") for e in ("mae", "random")))
    figures = [
        Published("fine-tune/top1", 0.836, "other", "mae"),
        Published("knn/top1", 0.7, "paper", "mae"),
    ]
    (table,) = tables(found, found.encoders, ["knn/top1"], [], figures)
    assert [line.cells[0].published for line in table.lines] == ["70.0 [2]", ""]


def test_a_table_is_never_wider_than_a_page_and_sections_stay_together_where_they_fit() -> None:
    few_shot = [f"few-shot/{ways}way{shots}shot" for ways in range(5, 8) for shots in (1, 5, 10)]
    dense = ["detect/box_AP", "detect/mask_AP", "segment/mIoU"]
    names = ["knn/top1", *few_shot, *dense]
    found = parts(names)
    assert [name for part in found for name in part] == names
    assert [len(part) for part in found] == [1, 8, 4]
    assert max(map(len, found)) <= WIDEST
    assert parts(["of-no-card/x"]) == [["of-no-card/x"]] and parts([]) == []


def test_a_dash_is_explained_where_its_reason_is_known() -> None:
    row = Row("mae", "knn", "top1", 0.5, None, "id")
    found = benchmark(row, Row("pixels", "few-shot", "5way1shot", 0.5, None, "id"))
    found.left_out.update({"finetune[pixels]": "why", "finetune[pixels]#1": "why"})
    found.left_out.update({"finetune[rcf]": "why", "detect[rcf]": "not"})
    dashed = tables(found, found.encoders, ["knn/top1"], [])
    whole = tables(found, ["mae"], ["knn/top1"], [])
    assert missing(found, whole) == []
    assert missing(found, dashed) == ["finetune of pixels, rcf: why", "detect of rcf: not"]


def test_of_a_long_name_the_end_is_shown() -> None:
    assert shortened("timm:vit_base_patch16_224.mae") == "timm:vit_base_patch16_224.mae"
    name = "runs/demo/stages/pretrain-mae-0123456789abcdef/encoder.safetensors"
    assert name.endswith(shortened(name).removeprefix("…"))
    assert len(shortened(name)) == 33


def test_what_is_no_share_says_its_unit_under_the_percent(tracker: Tracker, tmp_path: Path) -> None:
    parent = tracker.start("tiny", {"recipe": "tiny", "stage": "benchmark"})
    run = tracker.start("analyze[mae]", {"stage": "analyze", "encoder": "mae"}, parent)
    tracker.finish(run, StageResult({"analyze/rankme": Metric(41.26)}))
    tracker.tag(parent, encoders='["mae"]', cells=json.dumps({"analyze[mae]": run}))
    (table,) = tables(collect(parent, tracker), ["mae"], ["analyze/rankme"], [])
    assert table.heads == ("Features, rankme (a count, not percent)",)
    assert table.lines[0].cells[0].text == "41.3"
    assert other_unit("knn/top1") == ""


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([10_000, 500, None, 500], "kNN (500 or 10,000 labelled images)"), ([None], "kNN")],
)
def test_other_numbers_of_labels_are_all_told(counts: list[int | None], expected: str) -> None:
    assert with_labels("kNN", counts) == expected


def test_the_head_counts_the_labels_of_all_rows() -> None:
    rows = [Row(e, "knn", "top1", 0.5, None, "id", labels=n) for e, n in (("a", 5), ("b", 7))]
    assert head(benchmark(*rows), "knn/top1") == "kNN, top-1 (5 or 7 labelled images)"
