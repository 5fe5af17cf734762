import json
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mae_core.engine.config import load_config
from mae_core.stage import Metric, StageResult
from pipelines.report.names import COLUMNS
from pipelines.report.published import SOURCES, Published, published
from pipelines.report.write import write_report
from pipelines.stages import STAGES
from pipelines.tracking import Tracker

FILE = Path(__file__).parents[3] / "pipelines" / "report" / "published.json"
ENTRIES = json.loads(FILE.read_text())
BASE = "finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["config"])
def test_each_figure_is_of_a_config_there_is_and_found_by_it_alone(entry: dict[str, Any]) -> None:
    config = load_config(entry["config"])
    assert config.stage in STAGES
    expected = [Published(m, v, SOURCES[entry["source"]]) for m, v in entry["metrics"].items()]
    assert published(config.stage, config.to_dict()) == expected
    for metric, value in entry["metrics"].items():
        assert 0.3 < value < 0.9
        assert metric in COLUMNS or metric.startswith("evaluate/")


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
    override: str, shown: bool
) -> None:
    config = load_config(BASE, overrides=[override])
    assert bool(published("finetune", config.to_dict())) == shown


@pytest.mark.parametrize("epochs", [100, 90])
def test_the_report_shows_a_figure_with_its_source_beside_results_of_its_protocol_only(
    epochs: int, tracker: Tracker, tmp_path: Path
) -> None:
    config = load_config(BASE, overrides=[f"train_cfg.max_epochs={epochs}"])
    page = write_benchmark(config, tracker, tmp_path)
    assert ("83.6 [1]" in page) == (epochs == 100)
    assert ("Table 3; 1600 epochs of pretraining" in page) == (epochs == 100)
    assert ("Published: not measured here." in page) == (epochs == 100)


def write_benchmark(config: Config, tracker: Tracker, folder: Path) -> str:
    """The page of a benchmark with one fine-tuning of that config."""
    parent = tracker.start("in1k", {"recipe": "in1k", "stage": "benchmark"})
    run_id = tracker.start("finetune[mae]", {"stage": "finetune", "encoder": "mae"}, parent)
    config.dump(str(folder / "config.py"))
    tracker.artifact(run_id, folder / "config.py")
    tracker.finish(run_id, StageResult({"fine-tune/top1": Metric(0.8, 0.01)}))
    cells = json.dumps({"finetune[mae]": run_id})
    tracker.tag(parent, encoders=json.dumps(["mae"]), cells=cells)
    write_report(parent, tracker, folder / "report")
    return (folder / "report" / "report.html").read_text()
