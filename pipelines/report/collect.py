"""Read a benchmark's results back from MLflow."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException

from mae_core.errors import UserError
from pipelines.tracking import Tracker

# The metrics of the table, in order: task, metric, and the name people know it by.
COLUMNS = {
    "fine-tune/top1": "Fine-tuning, top-1",
    "linear-probe/top1": "Linear probe, top-1",
    "knn/top1": "kNN, top-1",
    "few-shot/5way1shot": "Few-shot, 5-way 1-shot",
    "few-shot/5way5shot": "Few-shot, 5-way 5-shot",
    "few-shot/10way1shot": "Few-shot, 10-way 1-shot",
    "few-shot/10way5shot": "Few-shot, 10-way 5-shot",
    "detect/box_AP": "Detection, box AP",
    "detect/box_AP50": "Detection, box AP50",
    "detect/mask_AP": "Instance segmentation, mask AP",
    "detect/mask_AP50": "Instance segmentation, mask AP50",
    "segment/mIoU": "Semantic segmentation, mIoU",
}


@dataclass(frozen=True)
class Row:
    """One number: a metric of a task for an encoder, 0 to 1, with its interval's half width."""

    encoder: str
    task: str
    metric: str
    value: float
    ci95: float | None
    mlflow_run_id: str


@dataclass(frozen=True)
class Benchmark:
    """All that a report shows.

    Attributes:
        rows: the numbers, by encoder and in the order of :data:`COLUMNS`.
        failed: causes by cell name.
        losses: pretraining loss as (step, value), empty without pretraining.
        pictures: PNG files by (artifact name, encoder).
        seconds: duration by cell name.
    """

    recipe: str
    run_id: str
    encoders: tuple[str, ...]
    rows: tuple[Row, ...]
    failed: dict[str, str]
    losses: tuple[tuple[int, float], ...]
    pictures: dict[tuple[str, str], bytes]
    seconds: dict[str, float]

    def value(self, encoder: str, name: str) -> Row | None:
        """The row of metric `name`, such as 'knn/top1'."""
        return next(
            (r for r in self.rows if r.encoder == encoder and f"{r.task}/{r.metric}" == name), None
        )


def collect(run_id: str, tracker: Tracker) -> Benchmark:
    """Everything about the benchmark whose parent run is `run_id`.

    Raises:
        UserError: if there is no such run, or it is not a benchmark.
    """
    try:
        parent = tracker.client.get_run(run_id)
    except MlflowException as error:
        raise UserError(f"no MLflow run '{run_id}' in {tracker.uri}") from error
    tags = parent.data.tags
    if "cells" not in tags:
        raise UserError(f"MLflow run '{run_id}' is no finished benchmark: give its parent run's id")
    runs = {
        name: tracker.client.get_run(child) for name, child in json.loads(tags["cells"]).items()
    }
    rows, seconds, pictures = [], {}, {}
    losses: tuple[tuple[int, float], ...] = ()
    for name, run in runs.items():
        encoder, metrics = run.data.tags["encoder"], run.data.metrics
        seconds[name] = (run.info.end_time - run.info.start_time) / 1000
        for column in COLUMNS:
            if column in metrics:
                task, metric = column.split("/")
                ci95 = metrics.get(f"{column}_ci95")
                rows.append(Row(encoder, task, metric, metrics[column], ci95, run.info.run_id))
        if run.data.tags["stage"] == "pretrain":
            history = tracker.client.get_metric_history(run.info.run_id, "loss")
            losses = tuple((point.step, point.value) for point in history)
        for artifact in tracker.client.list_artifacts(run.info.run_id):
            if artifact.path.endswith(".png"):
                picture = _download(tracker, run.info.run_id, artifact.path)
                pictures[_kind(run.data.tags["stage"], artifact.path), encoder] = picture
    order = list(COLUMNS)
    encoders = tuple(json.loads(tags["encoders"]))
    rows.sort(key=lambda r: (encoders.index(r.encoder), order.index(f"{r.task}/{r.metric}")))
    return Benchmark(
        recipe=tags["recipe"],
        run_id=run_id,
        encoders=encoders,
        rows=tuple(rows),
        failed=json.loads(tags.get("failed", "{}")),
        losses=losses,
        pictures=pictures,
        seconds=seconds,
    )


def _kind(stage: str, path: str) -> str:
    return f"{stage}-{Path(path).stem}"


def _download(tracker: Tracker, run_id: str, path: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Path(tracker.client.download_artifacts(run_id, path, folder)).read_bytes()
