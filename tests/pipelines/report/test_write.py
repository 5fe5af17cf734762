import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mae_core import UserError
from pipelines.report.collect import Row, collect
from pipelines.report.write import (
    baselines,
    best,
    difference,
    differences,
    shortened,
    summaries,
    table,
    text,
    write_report,
)
from pipelines.tracking import Tracker
from tests.pipelines.report.conftest import FIRST, RESULTS, SECOND, Written

shares = st.floats(0, 1)


def row(value: float, ci95: float | None = None) -> Row:
    return Row("mae", "knn", "top1", value, ci95, "id")


@pytest.fixture
def folder(written: Written, tracker: Tracker, tmp_path: Path) -> Path:
    write_report(written.parent, tracker, tmp_path / "report")
    return tmp_path / "report"


def test_the_json_has_the_schema_that_users_script_against(folder: Path, written: Written) -> None:
    content = json.loads((folder / "report.json").read_text())
    assert list(content) == ["rows", "comparisons", "published", "stages", "reproduce"]
    assert len(content["rows"]) == 7
    for line in content["rows"]:
        assert list(line) == ["encoder", "task", "metric", "value", "ci95", "mlflow_run_id"]
        cell = next(k for k, v in written.runs.items() if v == line["mlflow_run_id"])
        metric = RESULTS[cell][f"{line['task']}/{line['metric']}"]
        assert (line["value"], line["ci95"]) == (metric.value, metric.ci95)
        assert cell.endswith(f"[{line['encoder']}]")


def test_the_table_shows_percent_the_best_and_what_failed(
    written: Written, tracker: Tracker
) -> None:
    benchmark = collect(written.parent, tracker)
    names = ["knn/top1", "detect/box_AP"]
    knn, box_ap = table(benchmark, names, differences(benchmark))
    assert knn.cells == ("75.0 ± 2.0", "50.0 ± 3.0", "25.0 ± 3.0")
    assert (knn.best, knn.verdicts) == (0, ("+50.0, better",))
    assert box_ap.cells == ("20.0", "failed", "–")
    assert box_ap.verdicts == ("",)


def test_the_markdown_table_has_a_column_for_each_encoder(
    written: Written, tracker: Tracker, tmp_path: Path
) -> None:
    lines = write_report(written.parent, tracker, tmp_path / "report").strip().splitlines()
    assert lines[0] == f"| task, metric (%) | mae | {FIRST} | {SECOND} | mae − {SECOND} |"
    assert {line.count("|") for line in lines} == {6}
    assert "**75.0 ± 2.0**" in lines[2]
    assert "\n".join(lines) in (tmp_path / "report" / "report.md").read_text()


def test_every_picture_of_the_markdown_is_there_and_each_encoders_is_its_own(
    folder: Path, written: Written, tracker: Tracker
) -> None:
    found = re.findall(r"!\[(.+)\]\((.+)\)", (folder / "report.md").read_text())
    assert len(found) == len({file for _, file in found})
    files = {caption: folder / file for caption, file in found}
    shown = files["Detection and instance segmentation: mae"]
    assert Image.open(shown).getpixel((0, 0)) == written.colours["detect[mae]"]
    assert {"Pretraining loss", "Few-shot accuracy against shots"} < files.keys()
    assert all(file.exists() for file in files.values())


def test_pictures_of_encoders_with_the_same_file_name_are_kept_apart(
    written: Written, tracker: Tracker, tmp_path: Path
) -> None:
    for colour, encoder in ((1, FIRST), (2, SECOND)):
        picture = tmp_path / "overlay.png"
        Image.new("RGB", (4, 4), (colour, 0, 0)).save(picture)
        run_id = written.runs[f"knn[{encoder}]"]
        tracker.tag(run_id, stage="segment")
        tracker.artifact(run_id, picture)
    write_report(written.parent, tracker, tmp_path / "report")
    found = [Image.open(file) for file in sorted((tmp_path / "report").glob("segment*.png"))]
    assert [picture.getpixel((0, 0)) for picture in found] == [(1, 0, 0), (2, 0, 0)]


def test_the_page_stands_alone_and_shows_the_cause_of_a_failure(
    folder: Path, written: Written
) -> None:
    page = (folder / "report.html").read_text()
    assert "&lt;cuda &amp; co&gt;" in page
    assert "<cuda" not in page
    sources = re.findall(r'src="([^"]+)"', page)
    assert len(sources) == len(list(folder.glob("*.png")))
    pictures = {file.read_bytes() for file in folder.glob("*.png")}
    assert {base64.b64decode(s.removeprefix("data:image/png;base64,")) for s in sources} == pictures
    assert written.parent in page


def test_no_report_is_begun_for_a_wrong_run(tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no MLflow run"):
        write_report("nothing", tracker, tmp_path / "report")
    assert not (tmp_path / "report").exists()


@given(first=shares, other=shares, a=shares, b=shares)
def test_without_cases_better_means_beyond_both_intervals(
    first: float, other: float, a: float, b: float
) -> None:
    found = difference(row(first, a), row(other, b))
    assert found.difference == first - other and found.p is None
    beyond = abs(first - other) > a + b
    assert (found.verdict != "no difference shown") == beyond
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
    assert difference(*metrics, first, second[:999]).p is None


def test_of_an_error_less_is_better() -> None:
    mce = (
        Row("mae", "evaluate", "mCE", 0.5, 0.01, "id"),
        Row("random", "evaluate", "mCE", 0.9, 0.01, "id"),
    )
    assert difference(*mce).verdict == "better"
    assert best("evaluate/mCE", mce) == 0 and best("knn/top1", mce) == 1


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
    assert baselines(encoders) == expected


def test_the_first_line_counts_the_verdicts(written: Written, tracker: Tracker) -> None:
    benchmark = collect(written.parent, tracker)
    found = differences(benchmark)
    assert summaries(benchmark, ["knn/top1"], found) == [
        f"mae against {SECOND}, 1 metric: better in 1"
    ]
    assert summaries(benchmark, ["detect/box_AP"], found) == []


def test_a_paired_difference_has_its_p() -> None:
    second = np.arange(1000) % 10 < 7
    first = second.copy()
    first[7:100:10] = True
    metrics = row(first.mean(), 0.03), row(second.mean(), 0.03)
    assert text(difference(*metrics, first, second)) == "+1.0, better (p = 0.002)"
    assert text(difference(*metrics, ~second, second)).endswith("worse (p < 0.001)")


def test_of_a_long_name_the_end_is_over_the_column() -> None:
    assert shortened("timm:vit_base_patch16_224.mae") == "timm:vit_base_patch16_224.mae"
    name = "runs/demo/stages/pretrain-mae-0123456789abcdef/encoder.safetensors"
    assert name.endswith(shortened(name).removeprefix("…"))
    assert len(shortened(name)) == 33
