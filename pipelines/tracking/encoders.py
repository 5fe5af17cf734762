"""Encoders by name: those that `mae_core` knows, and MLflow's `runs:/...` and `models:/...`."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mae_core.data.cache import atomic_folder, cache_root, locked
from mae_core.errors import UserError
from mae_core.files import checksum, write_text
from pipelines.stages import MODELS, RUNS

if TYPE_CHECKING:
    from pipelines.tracking.tracker import Tracker

RUN_ID = re.compile(r"[0-9A-Za-z][\w-]*", re.ASCII)  # is part of a folder's name
CHECKSUM = ".sha256"  # beside a checkpoint in the cache
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncoderRef:
    """What an encoder's name led to, once: path and run belong together.

    Attributes:
        name: as it was asked for, such as 'random', a path, 'timm:...', 'models:/...@best-linear'.
        path: of its file; the name itself of one that begins with random weights.
        run_id: of the MLflow run that made it, '' if that is not known.
    """

    name: str
    path: str
    run_id: str = ""


class Lookup:
    """Looks things up in one MLflow, to which it connects when the first one needs it.

    Args:
        uri: of MLflow; as :class:`pipelines.tracking.tracker.Tracker` without it.
    """

    def __init__(self, uri: str | None = None) -> None:
        self.uri = uri
        self.known: dict[str, EncoderRef] = {}

    @cached_property
    def tracker(self) -> "Tracker":
        """The connection. Raises UserError if there is none to be had."""
        from pipelines.tracking.tracker import Tracker  # mlflow

        return Tracker(self.uri)

    def encoder(self, spec: str) -> EncoderRef:
        """As :func:`resolve`; the same name leads to the same encoder, whatever moves meanwhile."""
        if spec not in self.known:
            self.known[spec] = resolve(spec, lambda: self.tracker)
        return self.known[spec]


def resolve(spec: str, connect: "Callable[[], Tracker]") -> EncoderRef:
    """The encoder that a name means now.

    Of a run it is its checkpoint in the cache, of a model that of the run behind it, and for others
    as :func:`mae_core.published.resolve_encoder` says.

    Args:
        spec: a name.
        connect: to MLflow; is called only for what that has.

    Raises:
        UserError: also if there is no such run or model, or it has no checkpoint.
    """
    from mae_core import published  # timm

    run_id = run_of(spec, connect)
    path = from_run(run_id, connect) if run_id else published.resolve_encoder(spec)
    return EncoderRef(spec, path, run_id)


def run_of(spec: str, connect: "Callable[[], Tracker]") -> str:
    """The id in `runs:/<id>`, that of the run behind `models:/...`, '' for any other name.

    Raises:
        UserError: if there is no such model, or that is no run's id.
    """
    if spec.startswith(MODELS):
        from pipelines.tracking.model_registry import run_of_model

        return run_of_model(spec, connect())
    if not spec.startswith(RUNS):
        return ""
    run_id = spec.removeprefix(RUNS).strip("/")
    if not RUN_ID.fullmatch(run_id):
        raise UserError(f"'{spec}' names no MLflow run: expected {RUNS} and the id, nothing else")
    return run_id


def from_run(run_id: str, connect: "Callable[[], Tracker]") -> str:
    """The path of a run's checkpoint, downloaded once, and again if it was damaged since."""
    folder = cache_root() / "encoders" / f"run-{run_id}"
    with locked(folder):
        path = cached(folder)
        if path is None:
            with atomic_folder(folder) as partial:
                fetch_checkpoint(run_id, partial, connect())
                (path,) = (one for one in partial.rglob("*") if one.is_file())
                write_text(partial / CHECKSUM, checksum(path))
                path = folder / path.relative_to(partial)
    return str(path)


def cached(folder: Path) -> Path | None:
    """The checkpoint in a folder of the cache; None if there is none, or it is damaged."""
    path = next(
        (p for p in folder.rglob("*") if p.name != CHECKSUM and p.is_file() and p.stat().st_size),
        None,
    )
    known = folder / CHECKSUM
    if path and known.exists() and known.read_text() != checksum(path):
        log.warning("%s is damaged: it is downloaded again", path)
        return None
    return path


def fetch_checkpoint(run_id: str, folder: Path, tracker: "Tracker") -> None:
    """Download a run's checkpoint into `folder`.

    Raises:
        UserError: if there is no such run, it has no checkpoint, or that is damaged or not to be
            had.
    """
    from mlflow.exceptions import MlflowException

    from pipelines.tracking.tracker import CHECKPOINT

    try:
        run = tracker.look_up(run_id)
        if run is None:
            raise UserError(f"no MLflow run '{run_id}' in {tracker.place}")
        stored = tracker.files(run_id, CHECKPOINT)
        if stored:
            tracker.fetch(run, stored[0], folder)
    except MlflowException as error:
        raise UserError(
            f"the checkpoint of the MLflow run '{run_id}' cannot be had from {tracker.place}: "
            f"{error}"
        ) from error
    if not stored:
        raise UserError(
            f"the MLflow run '{run_id}' has no checkpoint: give one of a pretraining or of a "
            "fine-tuning that has finished"
        )
