"""What a cell's process is to do, and with what: in its folder, and from there in MLflow."""

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mae_core.files import write_json, write_text
from pipelines.cells.cell import Cell
from pipelines.cells.facts import encoder_facts
from pipelines.cells.folder import CONFIG, JOB, accepted_codes, read_record
from pipelines.cells.unfinished import COMMIT, INPUTS, SEED, SETTINGS
from pipelines.identity import data_digests, settings
from pipelines.tracking import lineage
from pipelines.tracking.tracker import Tracker

LINEAGE, PATCH, LOG = "lineage.json", "code.diff", "log.txt"  # in a stage's folder
ACCEPTED_CODE = "accepted_code"  # tag: the other code that a training began with


def prepare(cell: Cell, folder: Path) -> None:
    """Write down what is to be computed and with what, before it is."""
    write_job(cell, folder, about(cell))
    known = {
        "encoder_digest": cell.inputs["encoder"],
        "code": json.dumps(lineage.code(cell.config)),
        "versions": json.dumps(lineage.versions()),
        "hardware": json.dumps(lineage.hardware()),
        **encoder_facts(cell.config, cell.source),
    }
    if codes := accepted_codes(folder):
        known[ACCEPTED_CODE] = " ".join(codes)
    write_json(folder / LINEAGE, known)
    write_text(folder / PATCH, lineage.uncommitted())


def describe(cell: Cell, tracker: Tracker, run_id: str, folder: Path) -> None:
    """Note where the run's numbers come from, as :func:`prepare` wrote it down."""
    tracker.params(run_id, {"encoder.name": cell.encoder, **loggable(cell.config)})
    digests = {root: value[:16] for root, value in data_digests(cell.config).items()}
    tracker.tag(run_id, data=json.dumps(digests), **read_record(folder / LINEAGE))
    tracker.inputs(run_id, lineage.datasets(cell.config))
    for path in (folder / CONFIG, folder / PATCH):
        if path.exists() and path.stat().st_size:
            tracker.artifact(run_id, path)


def about(cell: Cell) -> dict[str, Any]:
    """What tells a cell from others of its stage and row, for its job's file."""
    return {
        INPUTS: cell.inputs,
        SETTINGS: settings(cell.config),
        SEED: cell.config.get("seed"),
        COMMIT: lineage.code(cell.config).get("commit", ""),
    }


def write_job(cell: Cell, folder: Path, known: dict[str, Any] | None = None) -> Path:
    """Write the cell's config and what its process needs, :mod:`pipelines.cells.stage_process`; the
    path of that.

    Args:
        cell: to run.
        folder: to run it in.
        known: see :func:`about`; without it nobody looks whether what is read stays the same.
    """
    config, job = folder / CONFIG, folder / JOB
    write_text(config, cell.config.pretty_text)
    content = {
        "stage": cell.stage,
        "encoder": cell.source,
        "config": str(config),
        "work_dir": str(folder),
        **(known or {}),
    }
    write_json(job, content)
    return job


def loggable(config: Config) -> dict[str, Any]:
    """The part of a config that is worth a table of parameters; all of it is an artifact."""
    verbose = ("model", "default_hooks", "env_cfg", "log_level", "default_scope")
    return {
        key: value
        for key, value in config.to_dict().items()
        if key not in verbose and not key.endswith(("pipeline", "_evaluator"))
    }
