import base64
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from mae_core import UserError
from mae_core.stage import Metric, StageResult
from pipelines.report.collect import Row, collect
from pipelines.report.differences import differences
from pipelines.report.names import other_unit
from pipelines.report.write import best, shortened, table, with_labels, write_report
from pipelines.tracking.tracker import Tracker
from tests.pipelines.report.conftest import FIRST, RESULTS, SECOND, Written


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
    knn, box_ap = table(benchmark, names, differences(benchmark, names))
    assert knn.cells == ("75.0 ± 2.0", "50.0 ± 3.0", "25.0 ± 3.0")
    assert (knn.best, knn.verdicts) == (
        0,
        ("+50.0, better (p < 0.001, Holm < 0.001): these two trainings, other test images",),
    )
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


def test_of_an_error_the_least_is_the_best() -> None:
    mce = (
        Row("mae", "evaluate", "mCE", 0.5, 0.01, "id"),
        Row("random", "evaluate", "mCE", 0.9, 0.01, "id"),
    )
    assert best("evaluate/mCE", mce) == 0 and best("knn/top1", mce) == 1


def test_of_a_long_name_the_end_is_over_the_column() -> None:
    assert shortened("timm:vit_base_patch16_224.mae") == "timm:vit_base_patch16_224.mae"
    name = "runs/demo/stages/pretrain-mae-0123456789abcdef/encoder.safetensors"
    assert name.endswith(shortened(name).removeprefix("…"))
    assert len(shortened(name)) == 33


def test_the_labels_that_a_task_was_trained_with_stand_beside_it(
    tracker: Tracker, tmp_path: Path
) -> None:
    parent = tracker.start("tiny", {"recipe": "tiny", "stage": "benchmark"})
    runs = {}
    for stage, metric, labels in (("finetune", "fine-tune/top1", 500), ("knn", "knn/top1", None)):
        name = f"{stage}[mae]"
        runs[name] = tracker.start(name, {"stage": stage, "encoder": "mae", "seed": "0"}, parent)
        tracker.finish(runs[name], StageResult({metric: Metric(0.5, 0.1)}, labels=labels))
    tracker.tag(parent, encoders='["mae"]', cells=json.dumps(runs))
    text = write_report(parent, tracker, tmp_path / "report")
    assert "| knn | mae | 0 |" in (tmp_path / "report" / "report.md").read_text()
    assert "<td>0</td>" in (tmp_path / "report" / "report.html").read_text()
    assert "Fine-tuning, top-1 (500 labelled images)" in text and "kNN, top-1 |" in text
    rows = json.loads((tmp_path / "report" / "report.json").read_text())["rows"]
    assert [row.get("labels") for row in rows] == [500, None]


def test_what_is_no_share_says_its_unit_under_the_percent(tracker: Tracker) -> None:
    parent = tracker.start("tiny", {"recipe": "tiny", "stage": "benchmark"})
    run = tracker.start("analyze[mae]", {"stage": "analyze", "encoder": "mae"}, parent)
    tracker.finish(run, StageResult({"analyze/rankme": Metric(41.26)}))
    tracker.tag(parent, encoders='["mae"]', cells=json.dumps({"analyze[mae]": run}))
    (line,) = table(collect(parent, tracker), ["analyze/rankme"], [])
    assert (line.name, line.cells) == ("Features, rankme (a count, not percent)", ("41.3",))
    assert other_unit("knn/top1") == ""


def test_other_numbers_of_labels_are_all_told() -> None:
    assert with_labels("kNN", [10_000, 500, None, 500]) == "kNN (500 or 10,000 labelled images)"
    assert with_labels("kNN", [None]) == "kNN"
