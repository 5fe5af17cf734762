"""A run as it is read back: MLflow's types, and the names of its tags, end here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mae_core.stage import Metric

INTERVAL = "_ci95"  # ends the name under which MLflow has a metric's interval
UNITS = "units"  # tag: units by metric, of those that have one of the data
FACTS = "encoder."  # begins the names of the tags that say what the encoder is


@dataclass(frozen=True)
class StoredRun:
    """A stage's run, or one with others under it: of a benchmark, a sweep or a trial.

    Attributes:
        id: of MLflow.
        name: such as 'knn[mae]'.
        status: 'RUNNING', 'FINISHED', 'FAILED' or 'KILLED'.
        started: in UTC.
        seconds: from its start to its end, with the pauses of one that was interrupted; 0 until it
            has ended.
        metrics: by name, such as 'knn/top1'; the last value of those that a training logs.
        params: of its config, flattened with dots, as text.
        tags: all of them, also those of one kind of run alone, such as a benchmark's 'cells'.
        artifacts: the address of its files.
    """

    id: str
    name: str
    status: str
    started: datetime
    seconds: float
    metrics: Mapping[str, Metric]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    artifacts: str

    @property
    def stage(self) -> str:
        """A stage's name; 'benchmark', 'sweep', 'trial' or 'winner' of what has others under it."""
        return self.tags.get("stage", "")

    @property
    def encoder(self) -> str:
        """The row's name, '' of what is no stage."""
        return self.tags.get("encoder", "")

    @property
    def spec(self) -> str:
        """What names its encoder to others, where the row has a name of its own."""
        return self.tags.get("encoder_spec", self.encoder)

    @property
    def facts(self) -> dict[str, str]:
        """What is known of its encoder, see :func:`pipelines.cells.facts.encoder_facts`."""
        found = self.tags.items()
        return {key.removeprefix(FACTS): text for key, text in found if key.startswith(FACTS)}

    @property
    def recipe(self) -> str:
        """Of the benchmark, or the config of a single stage; '' if unknown."""
        return self.tags.get("recipe", "")

    @property
    def seed(self) -> int | None:
        """Of the stage, None if unknown."""
        found = self.tags.get("seed", "")
        return int(found) if found else None

    @property
    def parent(self) -> str:
        """The id of the run that it is under, '' if it is under none."""
        return self.tags.get(MLFLOW_PARENT_RUN_ID, "")

    @property
    def encoder_run(self) -> str:
        """The id of the run that made its encoder, '' if none did."""
        return self.tags.get("encoder_run", "")

    @property
    def reused_from(self) -> str:
        """The id of the run that this one only points to, '' of one that computed."""
        return self.tags.get("reused_from", "")

    @property
    def accepted_code(self) -> str:
        """Hashes of the other code that its training began with; '' if that was its own alone."""
        return self.tags.get("accepted_code", "")

    @property
    def labels(self) -> int | None:
        """How many labelled images the stage was trained with, None if that is not known."""
        found = self.tags.get("labels", "")
        return int(found) if found else None

    @property
    def command(self) -> str:
        """The shell line that computes it again, '' if there is none."""
        return self.tags.get("command", "")

    @property
    def data(self) -> dict[str, str]:
        """Digests of its data by path, empty where they were not tracked."""
        return self.record("data")

    @property
    def code(self) -> dict[str, str]:
        """Hashes of its code: `hash` of all, `stage` of its own; `commit` if it was a checkout."""
        older = {"hash": self.tags["code"]} if "code" in self.tags else {}
        return self.record("code") or older

    @property
    def date(self) -> str:
        """The day on which it began, such as '2026-11-26', in UTC."""
        return self.started.date().isoformat()

    def record(self, tag: str) -> dict[str, Any]:
        """A tag's JSON object; empty if there is none."""
        return record(self.tags, tag)


def record(tags: Mapping[str, str], tag: str) -> dict[str, Any]:
    """A tag's JSON object; empty if there is none."""
    try:
        content = json.loads(tags.get(tag, "{}"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def stored_run(run: Run) -> StoredRun:
    """MLflow's run as ours."""
    began, ended = run.info.start_time, run.info.end_time
    return StoredRun(
        id=run.info.run_id,
        name=run.info.run_name or "",
        status=run.info.status,
        started=datetime.fromtimestamp(began / 1000, UTC),
        seconds=(ended - began) / 1000 if ended else 0.0,
        metrics=decoded(run.data.metrics, run.data.tags),
        params=run.data.params,
        tags=run.data.tags,
        artifacts=run.info.artifact_uri,
    )


def encoded(metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Metrics as MLflow has them, which knows numbers only: an interval is one more of them."""
    values = {}
    for name, metric in metrics.items():
        values[name] = metric.value
        if metric.ci95 is not None:
            values[name + INTERVAL] = metric.ci95
    return values


def units(metrics: Mapping[str, Metric]) -> dict[str, str]:
    """The tag with the metrics' units; none if they have none."""
    found = {name: metric.unit for name, metric in metrics.items() if metric.unit}
    return {UNITS: json.dumps(found)} if found else {}


def decoded(values: Mapping[str, float], tags: Mapping[str, str]) -> dict[str, Metric]:
    """Metrics with their intervals and units from what MLflow has."""
    known = record(tags, UNITS)
    return {
        name: Metric(value, values.get(name + INTERVAL), known.get(name, ""))
        for name, value in values.items()
        if not name.endswith(INTERVAL)
    }
