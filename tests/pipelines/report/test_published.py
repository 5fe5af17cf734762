import json
import re
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mae_core.config import load_config
from mae_core.stage import Metric, StageResult
from pipelines.report.names import is_headline
from pipelines.report.published import SOURCES, UNKNOWN, WEIGHTS, protocol_line, published
from pipelines.report.write import write_report
from pipelines.stages import stages
from pipelines.tracking.tracker import Tracker

FILE = Path(__file__).parents[3] / "pipelines" / "report" / "published.json"
ENTRIES = json.loads(FILE.read_text())
BASE = "finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k"
PRETRAIN = "pretrain/vit-base-p16_8xb512-amp-coslr-1600e_in1k"
EVALUATE = "evaluate/vit-base-p16_in1k"
# What the sources say, in percent: FINETUNE.md and PRETRAIN.md of facebookresearch/mae at efb2a80,
# the paper's Tables 3, 5, 12 and 13, detectron2's projects/ViTDet/README.md, mmsegmentation's
# configs/mae.
SAID = {
    "finetune-md": {83.57, 85.87},
    "finetune-md-eval": {86.93},
    "finetune-md-probe": {67.8, 76.0, 77.2},
    "pretrain-md": {85.5},
    "table-3": {83.6, 85.9, 86.9, 87.8},
    "table-12": {68.0, 75.8, 76.6},
    "table-13": {51.7, 41.8, 33.8, 35.9, 57.1, 68.2, 48.3, 59.9, 64.4, 34.5, 45.3, 49.6},
    "table-5": {48.1, 53.6},
    "mmseg": {48.13},
    "vitdet": {51.6, 45.9, 55.5, 49.2, 56.7, 50.2, 54.0, 46.7, 57.6, 50.0, 58.7, 51.0},
}


class Rows:
    """Writes stages' runs to MLflow as the flow leaves them."""

    def __init__(self, tracker: Tracker, folder: Path) -> None:
        self.tracker, self.folder = tracker, folder
        self.parent = tracker.start("in1k", {"recipe": "in1k", "stage": "benchmark"})
        self.cells: dict[str, str] = {}

    def add(self, config: Config, encoder: str, metrics: dict[str, Metric], above: str = "") -> str:
        """A stage's run for a row, on the encoder that the run `above` made."""
        name = f"{config.stage}[{encoder}]"
        tags = {"stage": config.stage, "encoder": encoder, "encoder_run": above}
        run_id = self.tracker.start(name, tags, self.parent)
        config.dump(str(self.folder / "config.py"))
        self.tracker.artifact(run_id, self.folder / "config.py")
        self.tracker.finish(run_id, StageResult(metrics))
        self.cells[name] = run_id
        return run_id

    def page(self, *encoders: str) -> str:
        """The report's HTML."""
        cells = json.dumps(self.cells)
        self.tracker.tag(self.parent, encoders=json.dumps(list(encoders)), cells=cells)
        write_report(self.parent, self.tracker, self.folder / "report")
        return (self.folder / "report" / "report.html").read_text()


def beside(page: str, encoder: str) -> str:
    """The line of a row's numbers in the report's HTML."""
    found = re.findall(rf'<th scope="row" title="{re.escape(encoder)}">.*?</tr>', page, re.DOTALL)
    (line,) = (one for one in found if "80.0 ± 1.0" in one)
    return str(line)


@pytest.fixture
def rows(tracker: Tracker, tmp_path: Path) -> Rows:
    return Rows(tracker, tmp_path)


def test_figures_are_those_of_their_sources() -> None:
    found: dict[str, set[float]] = {}
    for entry in ENTRIES:
        values = {round(100 * value, 2) for value in entry["metrics"].values()}
        found.setdefault(entry["source"], set()).update(values)
    assert found == SAID and SAID.keys() == SOURCES.keys()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e['config']}-{e['source']}")
def test_each_figure_has_configs_that_are_there_and_a_line_on_its_protocol(
    entry: dict[str, Any],
) -> None:
    config = load_config(entry["config"])
    assert config.stage in stages()
    pretrain = load_config(entry["pretrain"])
    assert pretrain.stage == "pretrain" and pretrain.encoder.arch == config.encoder.arch
    for metric in entry["metrics"]:
        assert is_headline(metric), metric
    line = protocol_line(entry)
    assert f"{pretrain.train_cfg.max_epochs} epochs of pretraining" in line
    assert entry.get("seeds", UNKNOWN) in line
    assert ("evaluate/mCE" in entry["metrics"]) == (config.stage == "evaluate")


def test_the_official_code_comes_with_its_spread() -> None:
    lines = [protocol_line(entry) for entry in ENTRIES if entry["source"] == "finetune-md"]
    assert ["4 seeds, 83.57 ± 0.08" in line for line in lines] == [True, False]
    assert ["4 seeds, 85.87 ± 0.07" in line for line in lines] == [False, True]


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("seed=3", True),
        ("train_dataloader.num_workers=2", True),
        ("train_cfg.max_epochs=50", False),
        ("encoder.drop_path=0.2", False),
        ("val_dataloader.dataset.data=photos/val", False),
    ],
)
def test_another_seed_is_the_same_protocol_and_another_schedule_or_data_set_is_none(
    override: str, shown: bool, rows: Rows, tracker: Tracker
) -> None:
    above = rows.add(load_config(PRETRAIN), "mae", {})
    config = load_config(BASE, overrides=[override])
    run = tracker.look_up(rows.add(config, "mae", {"fine-tune/top1": Metric(0.8)}, above))
    assert run is not None and bool(published(run, tracker)) == shown


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("seed=3", True),
        ("train_cfg.max_epochs=400", False),
        ("mae.mask_ratio=0.5", False),
        ("train_dataloader.dataset.data=photos/train", False),
    ],
)
def test_a_figure_stands_beside_rows_of_its_pretraining_only(
    override: str, shown: bool, rows: Rows
) -> None:
    above = rows.add(load_config(PRETRAIN, overrides=[override]), "mae", {})
    for encoder, maker in (("mae", above), ("random", "")):
        rows.add(load_config(BASE), encoder, {"fine-tune/top1": Metric(0.8, 0.01)}, maker)
    page = rows.page("mae", "random")
    assert ("83.6 [1]" in beside(page, "mae")) == shown
    assert "[1]" not in beside(page, "random")
    assert ("1600 epochs of pretraining" in page) == shown
    assert ("mean of 4 seeds, 83.57 ± 0.08" in page) == shown
    assert ("Published: not measured here." in page) == shown


def test_no_figure_stands_beside_a_pretraining_that_went_on_from_the_published(rows: Rows) -> None:
    first = rows.add(load_config(PRETRAIN), "mae", {})
    above = rows.add(load_config(PRETRAIN, overrides=["start=runs:/1"]), "on", {}, first)
    rows.add(load_config(BASE), "on", {"fine-tune/top1": Metric(0.8, 0.01)}, above)
    assert "Published" not in rows.page("on")


@pytest.mark.parametrize("encoder", ["random", "supervised", "a/encoder.safetensors"])
def test_no_figure_stands_beside_a_row_of_unknown_pretraining(encoder: str, rows: Rows) -> None:
    rows.add(load_config(BASE), encoder, {"fine-tune/top1": Metric(0.8, 0.01)})
    assert "Published" not in rows.page(encoder)


def test_the_published_weights_are_those_of_the_pretraining(rows: Rows) -> None:
    encoder = WEIGHTS[PRETRAIN]
    rows.add(load_config(BASE), encoder, {"fine-tune/top1": Metric(0.8, 0.01)})
    assert "83.6 [1]" in beside(rows.page(encoder), encoder)


@pytest.mark.parametrize(
    ("override", "shown"), [("seed=1", True), ("train_cfg.max_epochs=9", False)]
)
def test_a_classifiers_figures_need_its_fine_tuning_too(
    override: str, shown: bool, rows: Rows, tracker: Tracker
) -> None:
    above = rows.add(load_config(PRETRAIN), "mae", {})
    tuned = rows.add(load_config(BASE, overrides=[override]), "mae", {}, above)
    run = tracker.look_up(rows.add(load_config(EVALUATE), "mae", {}, tuned))
    assert run is not None
    found = {figure.metric: figure.value for figure in published(run, tracker)}
    table_13 = {"mCE": 0.517, "a": 0.359, "r": 0.483, "sketch": 0.345}
    assert found == (
        {f"evaluate/{name}": value for name, value in table_13.items()} if shown else {}
    )
