"""What flows of benchmarks and of sweeps share: where they run, and what they leave behind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.futures import PrefectFuture
from prefect.states import State

from pipelines.cells.resources import Resources, default_devices
from pipelines.cells.run_cell import Setting
from pipelines.last_net import check_writable
from pipelines.tracking.patience import patiently
from pipelines.tracking.tracker import Tracker

REPORT = "report"  # folder of a work dir, and of the run's artifacts
Future = PrefectFuture[Any]
Write = Callable[[str, Tracker, Path], str]  # from a run of MLflow into a folder


@dataclass(frozen=True)
class Place:
    """Where and with what a benchmark runs; see :func:`mae_full_benchmark`."""

    folder: Path
    tracker: Tracker
    devices: int | None
    ray: str | None
    elsewhere: bool
    command: str
    accept_code: bool = False

    def resources(self, slots: int) -> Resources:
        """What a stage may use."""
        devices = self.devices or (1 if self.ray else default_devices(slots))
        return Resources(devices=devices)


def failure_message(failed: Mapping[str, str], report: Path) -> str:
    """The last line of each cause, by name, and where the report of the rest is."""
    causes = (f"{name}: {cause.splitlines()[-1]}" for name, cause in failed.items())
    return "\n".join([f"the rest is in {report}", *causes])


def cause_of(state: State[Any], upstream: str) -> str:
    """Why a cell, which takes its encoder from the cell `upstream`, has no result."""
    if state.name == "NotReady":
        return f"not run, as it needs the encoder of {upstream}"
    return (state.message or "no message").removeprefix("Task run encountered an exception ")


def written_report(setting: Setting, write: Write, page: str) -> Path:
    """Write a report from MLflow; also an MLflow and a Prefect artifact. Its folder.

    Args:
        setting: of the benchmark or the sweep.
        write: writes the files, and returns the table as Markdown.
        page: the name of the file to look at.
    """
    assert setting.parent is not None
    folder = setting.work_dir / REPORT
    check_writable(folder)
    parent, tracker = setting.parent, setting.tracker
    table = patiently(lambda: write(parent, tracker, folder), tracker.place)
    return publish(setting, folder / page, table)


def publish(setting: Setting, page: Path, table: str) -> Path:
    """Make a report's files artifacts of MLflow, its table and a link Prefect's; its folder."""
    assert setting.parent is not None
    parent, tracker = setting.parent, setting.tracker
    for file in sorted(page.parent.iterdir()):
        patiently(partial(tracker.artifact, parent, file, REPORT), tracker.place)
    create_markdown_artifact(table, key="mae-bench-report")
    if link := setting.tracker.link(setting.parent):
        create_link_artifact(link, "this run in MLflow", key="mae-bench-mlflow")
    setting.display.say(f"report: {page}")
    return page.parent
