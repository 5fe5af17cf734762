import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from downstream.outcomes import load_outcomes
from downstream.statistics import compare as compare_cases
from mae_core.errors import UserError
from mae_core.stage import Metric, StageResult
from pipelines.cli.main import app
from pipelines.report.collect import collect
from pipelines.report.compare import Value, compare, find_benchmark, text
from pipelines.report.differences import ONE
from pipelines.report.write import write_report
from pipelines.tracking.tracker import Tracker
from tests.pipelines.conftest import Pair


@pytest.fixture(scope="module")
def compared(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The files' folder, and what was printed."""
    out, shown = tmp_path_factory.mktemp("compared"), StringIO()
    compare([pair.first[:12], pair.second], pair.tracker, out, Console(file=shown, width=200))
    return out, shown.getvalue()


def content(compared: tuple[Path, str]) -> dict[str, list[dict[str, object]]]:
    return json.loads((compared[0] / "compare.json").read_text())


def test_every_encoder_and_metric_has_both_values_and_their_difference(
    compared: tuple[Path, str], pair: Pair
) -> None:
    found = content(compared)
    assert [run["mlflow_run_id"] for run in found["runs"]] == [pair.first, pair.second]
    sides = [collect(run, pair.tracker) for run in (pair.first, pair.second)]
    assert {line["encoder"] for line in found["rows"]} == {"mae", "random"}
    for line in found["rows"]:
        name = f"{line['task']}/{line['metric']}"
        values = [value["value"] for value in line["values"]]
        assert values == [side.value(line["encoder"], name).value for side in sides]
        first, second = line["values"]
        assert first["difference"] is None
        assert second["difference"] == values[1] - values[0]
        assert second["low"] <= second["difference"] <= second["high"]


def test_the_same_images_are_paired_and_other_episodes_are_not(
    compared: tuple[Path, str], pair: Pair
) -> None:
    for line in content(compared)["rows"]:
        first, second = line["values"]
        assert second["paired"] == (line["task"] == "knn")
        if not second["paired"]:
            arm = np.hypot(first["ci95"], second["ci95"])
            assert second["high"] - second["low"] == pytest.approx(2 * arm)
            continue
        cases = [outcomes(pair.tracker, v["mlflow_run_id"])["knn/top1"] for v in (second, first)]
        assert (second["low"], second["high"], second["p"]) == (
            (result := compare_cases(*cases)).low,
            result.high,
            result.p,
        )


def outcomes(tracker: Tracker, run_id: str) -> dict[str, object]:
    return load_outcomes(Path(tracker.client.download_artifacts(run_id, "outcomes.npz")))


def test_the_keys_that_differ_are_told_by_stage_and_no_other(compared: tuple[Path, str]) -> None:
    assert content(compared)["config"] == [
        {"stage": "knn", "key": "k", "values": ["3", "1"]},
        {"stage": "few-shot", "key": "seed", "values": ["0", "1"]},
    ]


def test_the_table_of_keys_names_rows_and_stages_that_are_no_longer_known(
    tracker: Tracker, tmp_path: Path
) -> None:
    ids = []
    for code in ("1", "2"):
        parent = tracker.start("tiny", {"recipe": "tiny", "stage": "benchmark"})
        cells = {}
        for stage, row in (("pretrain", "mae"), ("pretrain", "raw"), ("depth", "random")):
            name, tags = f"{stage}[{row}]", {"stage": stage, "encoder": row, "seed": "0"}
            cells[name] = tracker.start(name, {**tags, "code": code}, parent)
            found = {f"{stage}/rmse": Metric(0.5)} if stage == "depth" else {}
            tracker.finish(cells[name], StageResult(found))
        tracker.tag(parent, encoders='["mae", "raw", "random", "supervised"]')
        tracker.tag(parent, cells=json.dumps(cells))
        ids.append(parent)
    console = Console(width=200, record=True)
    compare(ids, tracker, tmp_path / "out", console)
    shown = console.export_text()
    assert "pretrain[mae]" in shown and "pretrain[raw]" in shown and "depth" in shown
    write_report(ids[0], tracker, tmp_path / "report")  # of a package that is not installed


def test_terminal_and_markdown_show_the_same(compared: tuple[Path, str], pair: Pair) -> None:
    folder, shown = compared
    written = (folder / "compare.md").read_text()
    names = [f"tiny {run[:8]}" for run in (pair.first, pair.second)]
    for place in (shown, written):
        assert f"{names[1]} − {names[0]}" in place
        assert "kNN, top-1" in place and "unpaired" in place
    assert "| knn | `k` | 3 | 1 |" in written
    lines = [line for line in written.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {3 + 1, 5 + 1, 4 + 1}


def test_the_command_line_has_all_three(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", pair.tracker.uri)
    out = str(tmp_path / "out")
    for command, shown in (
        (["compare", pair.first, pair.second, "--out", out], "compare.md"),
        (["report", pair.first, "--out", out, "--watts", "60"], "report.html"),
        (["leaderboard", "knn"], "kNN, top-1 (%)"),
    ):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert shown in done.output
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"compare.md", "compare.json", "report.html", "report.md", "report.json"} <= written


def test_each_row_says_what_its_encoder_is_in_each_benchmark(
    compared: tuple[Path, str], pair: Pair
) -> None:
    known = json.loads((compared[0] / "compare.json").read_text())["encoders"]
    assert list(known) == ["mae", "random"]
    for both in known.values():
        assert [one["family"] for one in both] == ["vit", "vit"]
        assert all(one["parameters"] > 0 and one["gflops"] > 0 for one in both)
    mae = known["mae"][0]
    height, width = mae["input_size"]
    size = f"{mae['parameters'] / 1e3:.3g} k parameters, {mae['gflops']:.3g} GFLOPs"
    said = f"| mae | {mae['arch']}, {size}, {height}×{width}, images: own |"
    assert said in (compared[0] / "compare.md").read_text()


def test_a_row_that_only_one_benchmark_has_is_a_dash_and_old_runs_know_nothing(
    tracker: Tracker, tmp_path: Path
) -> None:
    ids = []
    for encoders in (["mae"], ["mae", "convnext"]):
        parent = tracker.start("tiny", {"recipe": "tiny", "stage": "benchmark"})
        cells = {}
        for name in encoders:
            tags = {"stage": "knn", "encoder": name, "seed": "0"}
            if name == "convnext":
                tags |= {"encoder.arch": "timm:convnext", "encoder.licence": "cc-by-nc-4.0"}
            cells[f"knn[{name}]"] = tracker.start(f"knn[{name}]", tags, parent)
            tracker.finish(cells[f"knn[{name}]"], StageResult({"knn/top1": Metric(0.5)}))
        tracker.tag(parent, encoders=json.dumps(encoders), cells=json.dumps(cells))
        ids.append(parent)
    compare(ids, tracker, tmp_path / "out", Console(width=200, record=True))
    written = (tmp_path / "out" / "compare.md").read_text()
    assert "| mae | unknown | unknown |" in written
    unknown = "unknown parameters, unknown GFLOPs, unknown"
    assert f"| convnext | – | timm:convnext, {unknown}, cc-by-nc-4.0 (non-commercial) |" in written
    known = json.loads((tmp_path / "out" / "compare.json").read_text())["encoders"]
    assert known["convnext"][0] is None and known["convnext"][1]["parameters"] is None


def test_one_benchmark_is_not_compared_with_itself(pair: Pair, tmp_path: Path) -> None:
    for given in ([pair.first], [pair.first, pair.first[:10]]):
        with pytest.raises(UserError, match="two or more benchmarks"):
            compare(given, pair.tracker, tmp_path / "out", Console())
    assert not (tmp_path / "out").exists()


def test_what_is_no_benchmark_is_refused_with_one_that_is(tracker: Tracker) -> None:
    with pytest.raises(UserError, match=r"no benchmark 'abc' in .*: mae-bench run RECIPE"):
        find_benchmark("abc", tracker)
    parent = tracker.start("tiny", {"stage": "benchmark"})
    child = tracker.start("knn[mae]", {"stage": "knn"}, parent)
    alone = tracker.start("knn[mae]", {"stage": "knn"})
    with pytest.raises(UserError, match=f"did you mean its benchmark, '{parent}'"):
        find_benchmark(child, tracker)
    with pytest.raises(UserError, match="and of no benchmark"):
        find_benchmark(alone, tracker)
    with pytest.raises(UserError, match=f"did you mean '{parent[:8]}'"):
        find_benchmark(f"{parent[:7]}-", tracker)
    assert find_benchmark(parent[:8], tracker) == parent


def test_a_beginning_of_several_ids_is_refused_with_all_of_them(tracker: Tracker) -> None:
    runs = [tracker.start("tiny", {"stage": "benchmark"}) for _ in range(17)]  # 16 first digits
    shared = next(r[0] for r in runs if sum(other[0] == r[0] for other in runs) > 1)
    with pytest.raises(UserError, match="several benchmarks") as error:
        find_benchmark(shared, tracker)
    assert all((run in str(error.value)) == run.startswith(shared) for run in runs)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Value(), "–"),
        (Value(0.5, difference=0.049, low=0.021, high=0.077, p=0.01, paired=True, verdict="better",
               about=ONE),
         "+4.9 (2.1 to 7.7), better: these two trainings, other test images"),
        (Value(0.5, difference=-0.01, low=-0.1, high=0.08, paired=False,
               verdict="no difference shown", about=ONE),
         "-1.0 (-10.0 to 8.0), no difference shown, unpaired: "
         "these two trainings, other test images"),
        (Value(0.5, difference=0.01, paired=False), "+1.0, no interval, unpaired"),
    ],
)  # fmt: skip
def test_a_difference_says_how_sure_it_is(value: Value, expected: str) -> None:
    assert text("knn/top1", value) == expected
