import base64
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mae_core import UserError
from mae_core.stage import Metric, StageResult
from pipelines.report.collect import Row
from pipelines.report.encoders import GROUPS
from pipelines.report.write import grouped, write_report
from pipelines.tracking.tracker import Tracker
from tests.pipelines.report.conftest import FIRST, RESULTS, SECOND, Written
from tests.pipelines.report.many import FRESH, NET, REASON, ROWS, many_rows

VOID = ("meta", "link", "img", "br", "wbr")


@pytest.fixture
def folder(written: Written, tracker: Tracker, tmp_path: Path) -> Path:
    write_report(written.parent, tracker, tmp_path / "report")
    return tmp_path / "report"


def test_the_json_has_the_schema_that_users_script_against(folder: Path, written: Written) -> None:
    content = json.loads((folder / "report.json").read_text())
    top = ["rows", "encoders", "comparisons", "published", "left_out", "stages", "reproduce"]
    assert list(content) == top
    assert len(content["rows"]) == 7
    for line in content["rows"]:
        assert list(line) == ["encoder", "task", "metric", "value", "ci95", "mlflow_run_id"]
        cell = next(k for k, v in written.runs.items() if v == line["mlflow_run_id"])
        metric = RESULTS[cell][f"{line['task']}/{line['metric']}"]
        assert (line["value"], line["ci95"]) == (metric.value, metric.ci95)
        assert cell.endswith(f"[{line['encoder']}]")


def test_the_markdown_table_has_a_line_for_each_encoder(
    written: Written, tracker: Tracker, tmp_path: Path
) -> None:
    text = write_report(written.parent, tracker, tmp_path / "report").strip()
    rows, numbers = text.split("\n\n")
    lines = numbers.splitlines()
    assert lines[0] == (
        "| row (%) | kNN, top-1 | Few-shot, 5-way 1-shot | Few-shot, 5-way 5-shot "
        "| Detection, box AP | Detection, box AP50 |"
    )
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| mae", f"| {FIRST}", f"| {SECOND}"]
    assert lines[3] == f"| {FIRST} | 50.0 ± 3.0 (+25.0 ▲) | – | – | failed | failed |"
    for one in (rows, numbers):
        assert len({line.count("|") for line in one.splitlines()}) == 1
    assert "**75.0 ± 2.0**" in lines[2]
    assert text in (tmp_path / "report" / "report.md").read_text()


def test_each_difference_is_told_with_all_that_is_known_of_it(
    folder: Path, written: Written
) -> None:
    line = f"| kNN, top-1 | {SECOND} | +50.0 | +46.4 to +53.6 | better | < 0.001 | < 0.001 | "
    about = "these two trainings, other test images"
    text = (folder / "report.md").read_text().replace("&lt;", "<")
    assert f"{line}{about} |" in text
    assert f"- mae against {SECOND}, 1 metric: better in 1 ({about})" in text
    page = (folder / "report.html").read_text()
    said = f"mae − {SECOND}: +50.0, better (p &lt; 0.001, Holm &lt; 0.001): {about}"
    assert f'<span class="apart better" title="{said}">+50.0 ▲</span>' in page


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


class Page(HTMLParser):
    """What a page's tables hold: of each the columns of its head, and of each line its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[tuple[int, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append((0, ""))
        if tag in ("td", "th"):
            columns, text = self.tables[-1][-1]
            self.tables[-1][-1] = columns + int(dict(attrs).get("colspan") or 1), text

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "tr" in self.open:
            columns, text = self.tables[-1][-1]
            self.tables[-1][-1] = columns, f"{text} {data}".strip()


@pytest.fixture(scope="module")
def crowd(
    empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, dict[str, Any]]:
    """The report of eleven rows: page, Markdown, JSON."""
    folder = tmp_path_factory.mktemp("crowd")
    tracker = Tracker(f"sqlite:///{shutil.copy(empty_database, folder / 'mlflow.db')}")
    write_report(many_rows(tracker), tracker, folder / "report")
    html, md, numbers = ((folder / "report" / f"report.{end}") for end in ("html", "md", "json"))
    return html.read_text(), md.read_text(), json.loads(numbers.read_text())


def test_eleven_rows_are_lines_of_tables_that_fit_beside_each_other(
    crowd: tuple[str, str, dict[str, Any]],
) -> None:
    page = Page(crowd[0])
    assert page.open == []
    rows, *numbers = page.tables[:4]
    for table in page.tables:
        assert len({columns for columns, _ in table}) == 1
    assert len(rows) == 1 + len(GROUPS) + len(ROWS)
    assert [table[0][0] - 1 for table in numbers] == [3, 8, 5]
    for table in page.tables[:4]:
        groups = [text for _, text in table if text in GROUPS]
        assert groups == list(GROUPS)
    assert crowd[0].count('class="scroll"') == len(page.tables)


def test_each_row_says_what_it_is_and_whether_its_licence_forbids_anything(
    crowd: tuple[str, str, dict[str, Any]],
) -> None:
    page, text, content = crowd
    assert '<td class="text licence forbids">cc-by-nc-4.0 (non-commercial)</td>' in page
    line = next(line for line in text.splitlines() if line.startswith("| lite0 | Weights"))
    assert line.endswith(
        "| 3.37 M | 0.768 | 224×224 | own | apache-2.0 | timm:tf_efficientnet_lite0@package |"
    )
    assert content["encoders"]["convnext"] == {
        "group": "Weights from elsewhere",
        "spec": NET,
        "arch": "timm:convnextv2_atto",
        "family": "timm",
        "parameters": 3387400,
        "gflops": 1.094,
        "input_size": [224, 224],
        "licence": "cc-by-nc-4.0",
        "protocol": "own",
        "non_commercial": True,
        "mean_rank": pytest.approx(content["encoders"]["convnext"]["mean_rank"]),
    }
    assert content["encoders"][FRESH]["gflops"] is None
    assert "3.39 M | unknown |" in text


def test_what_was_left_out_is_a_dash_with_its_reason_and_a_failure_is_none(
    crowd: tuple[str, str, dict[str, Any]],
) -> None:
    page, text, content = crowd
    for shown in (page, text):
        assert f"finetune of pixels, rcf: {REASON}" in shown
    fine_tuned = next(line for line in text.splitlines() if line.startswith("| rcf | – | "))
    assert fine_tuned.count("–") == 1
    assert content["left_out"]["segment[rcf]"] == REASON
    assert not any(row["encoder"] == "rcf" and row["task"] == "segment" for row in content["rows"])
    assert "| lite0 | failed | failed | failed | failed | " in text


def test_the_first_lines_say_where_the_first_row_stands_in_each_group(
    crowd: tuple[str, str, dict[str, Any]],
) -> None:
    said = [line for line in crowd[1].splitlines() if line.startswith("- mae against ")]
    assert len(said) == 7
    assert "the strongest baseline of each metric (" in said[0]
    assert said[4].startswith("- mae against the strongest row of each metric in 'Weights")
    assert said[5].startswith(f"- mae against {FRESH}, 16 metrics: better in ")
    assert "in 'Trivial features' (" in said[6] and "6 metrics: better in 6" in said[6]


def test_metrics_over_groups_are_named_once() -> None:
    rows = [Row(encoder, "knn", "top1", 0.5, 0.1, "id", groups=40) for encoder in "ab"]
    assert grouped(rows) == "kNN, top-1 (40 groups)"
    assert grouped([Row("a", "knn", "top1", 0.5, 0.1, "id")]) == ""
