"""What MLflow's own page says of two of our runs side by side."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import expect

from benchmarks.servers import MLflowServer
from mae_core.config import load_config
from mae_core.stage import Metric, StageResult
from pipelines.cells.job import loggable
from pipelines.tracking.tracker import Tracker
from tests.browser import (
    CHROMIUM,
    DESKTOP,
    MLFLOWS_OWN,
    PHONE,
    browser,
    complaints,
    open_comparison,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

CONFIG = "finetune/vit-micro-p6_1xb64-40e_demo-250"
RATE = "optim_wrapper.optimizer.lr"
METRICS = {"loss": ("0.512", "0.431"), "fine-tune/top1": ("0.754", "0.703")}


class Compared(NamedTuple):
    """Two fine-tunings of the demo, of encoders that differ."""

    server: str
    tracker: Tracker
    runs: list[str]


@pytest.fixture(scope="module")
def compared(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder / "server.db")
    server = MLflowServer(folder)
    tracker, runs = Tracker(server.url), []
    for encoder, loss, top1 in zip(("mae", "random"), *METRICS.values(), strict=True):
        run_id = tracker.start(f"finetune[{encoder}]", {"stage": "finetune", "encoder": encoder})
        tracker.params(run_id, {"encoder.name": encoder, **loggable(load_config(CONFIG))})
        for step, value in ((10, 2.0), (20, float(loss))):
            tracker.points(run_id, {"loss": value}, step)
        tracker.finish(run_id, StageResult({"fine-tune/top1": Metric(float(top1), 0.01)}))
        runs.append(run_id)
    yield Compared(server.url, tracker, runs)
    server.kill()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_metrics_and_params_are_side_by_side_without_an_error(
    compared: Compared, width: int
) -> None:
    with browser(width) as page:
        said = complaints(page)
        open_comparison(page, compared.server, compared.tracker.experiment, compared.runs)
        fit = 2 if width == DESKTOP else 1  # runs; the table scrolls to the other
        values = [value for both in METRICS.values() for value in both[:fit]]
        for text in (*METRICS, *values, RATE):
            shown = page.get_by_text(text, exact=True).first
            shown.scroll_into_view_if_needed(timeout=60_000)
            expect(shown).to_be_in_viewport()
        page.get_by_role("switch").first.click()  # of the parameters only those that differ
        expect(page.get_by_text(RATE, exact=True)).to_be_hidden()
        row = page.get_by_role("row").filter(has_text="encoder.name")
        expect(row).to_have_text("encoder.namemaerandom")
    assert [text for text in said if not any(own in text for own in MLFLOWS_OWN)] == []
