"""What each stage of a benchmark took, where it was reused from, and how to run it again."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pipelines.stages import RUNS, card_of, makers, tasks
from pipelines.tracking.stored_run import StoredRun
from pipelines.tracking.tracker import Tracker

POWER = re.compile(r"system/gpu_\d+_power_usage_watts")  # MLflow's names of system metrics
JOULES = 3600.0  # of a watt-hour
MEASURED, STATED = "mean measured power of the machine's GPUs", "stated power"


@dataclass(frozen=True)
class StageRun:
    """A stage's run for one encoder.

    Attributes:
        name: of the cell, such as 'knn[mae]'.
        stage, encoder, mlflow_run_id: as tracked.
        seed: of the stage, None if unknown.
        seconds: from the run's start to its end, with the pauses of one that was interrupted.
        images: that a pretraining saw, those that came again included; None for other stages.
        petaflop: what these cost, 10^15 operations; None if it is not known.
        watts: mean power while it ran; None if nothing is known of it.
        power: where `watts` is from, :data:`MEASURED` or :data:`STATED`, '' without.
        source: what `--encoder` takes to run it again; that of the run which made the encoder.
        reused_from: the other benchmark or work dir that computed it, '' if this one did.
        accepted_code: hashes of the other code that its training began with, '' if there is none.
        code, versions, hardware: of the run, empty where they were not tracked.
    """

    name: str
    stage: str
    encoder: str
    mlflow_run_id: str
    seed: int | None
    seconds: float
    images: float | None
    petaflop: float | None
    watts: float | None
    power: str
    source: str
    reused_from: str
    accepted_code: str
    code: dict[str, str]
    versions: dict[str, str]
    hardware: str

    @property
    def energy(self) -> float | None:
        """An estimate in watt-hours: time by power."""
        return None if self.watts is None else self.seconds * self.watts / JOULES

    @property
    def effort(self) -> str:
        """Of a pretraining: '199,680 images, 0.0145 petaflop', else ''."""
        images = "" if self.images is None else f"{self.images:,.0f} images"
        return images + ("" if self.petaflop is None else f", {self.petaflop:.3g} petaflop")

    def as_json(self) -> dict[str, Any]:
        """As in report.json."""
        energy = None if self.energy is None else round(self.energy, 3)
        accepted = {"accepted_code": self.accepted_code} if self.accepted_code else {}
        return {
            "stage": self.stage,
            "encoder": self.encoder,
            "seed": self.seed,
            "seconds": self.seconds,
            "images": self.images,
            "petaflop": self.petaflop,
            "energy_wh_estimate": energy,
            "reused_from": self.reused_from or None,
            "mlflow_run_id": self.mlflow_run_id,
            **accepted,
        }


def stage_run(
    name: str, run: StoredRun, parent: str, tracker: Tracker, watts: float | None = None
) -> StageRun:
    """A cell's run of the benchmark `parent`.

    Args:
        name: of the cell.
        run: of the stage.
        parent: the benchmark's run id.
        tracker: of MLflow.
        watts: that a stage draws, stated by the user; without it the GPUs' measured power counts.
    """
    measured = None if watts else gpu_watts(run, tracker)
    metrics = {name: metric.value for name, metric in run.metrics.items()}
    return StageRun(
        name=name,
        stage=run.stage,
        encoder=run.encoder,
        mlflow_run_id=run.id,
        seed=run.seed,
        seconds=run.seconds,
        images=metrics.get("pretrain/images"),
        petaflop=metrics.get("pretrain/petaflop"),
        watts=watts or measured,
        power=STATED if watts else MEASURED if measured else "",
        source=source_of(run),
        reused_from=origin(run, parent, tracker),
        accepted_code=run.accepted_code,
        code=run.code,
        versions={name: str(value) for name, value in run.record("versions").items()},
        hardware=machine(run.record("hardware")),
    )


def source_of(run: StoredRun) -> str:
    """The encoder behind a stage's run, as others can name it."""
    return f"{RUNS}{run.encoder_run}" if run.encoder_run else run.spec


def gpu_watts(run: StoredRun, tracker: Tracker) -> float | None:
    """Mean measured power of the run's GPUs together; None if it was not tracked."""
    names = [name for name in run.metrics if POWER.fullmatch(name)]
    means = [fmean(value for _, value in tracker.history(run.id, name)) for name in names]
    return sum(means) if means else None


def energy_note(stages: Sequence[StageRun]) -> str:
    """How the energy was estimated, or why it was not."""
    known = [stage for stage in stages if stage.energy is not None]
    if not known:
        return (
            "No energy is given: the power of this machine was not measured. "
            "mae-bench report RUN --watts W estimates it from a power that you state."
        )
    watts = [stage.watts for stage in known if stage.watts is not None]
    low, high = f"{min(watts):.0f}", f"{max(watts):.0f}"
    drawn = low if low == high else f"{low} to {high}"
    kinds = " or ".join(dict.fromkeys(stage.power for stage in known))
    total = sum(stage.energy or 0 for stage in known)
    return (
        f"Energy is an estimate, time × power ({kinds}, {drawn} W): {total:.3g} Wh in all. What "
        "stages side by side share is counted for each."
    )


def origin(run: StoredRun, parent: str, tracker: Tracker) -> str:
    """What computed a run, if not the benchmark `parent`: 'demo, run 1a2b3c4d'."""
    if run.parent == parent:
        return ""
    if not tracker.exists(run.parent or "-"):
        return f"{run.recipe or 'a single stage'}, run {run.id[:8]}"
    return f"{tracker.get(run.parent).recipe}, run {run.parent[:8]}"


def machine(hardware: Mapping[str, Any]) -> str:
    """'AMD EPYC, 2 cores, 8 GiB, no GPU', '' if it was not tracked."""
    if not hardware:
        return ""
    gpus = ", ".join(
        f"{count} × {name}" for name, count in Counter(hardware.get("gpus", [])).items()
    )
    known = [
        hardware.get("cpu"),
        "cores" in hardware and f"{hardware['cores']} cores",
        "memory_gib" in hardware and f"{hardware['memory_gib']} GiB",
        gpus or "no GPU",
    ]
    return ", ".join(str(part) for part in known if part)


def commands(tags: Mapping[str, str], stages: Sequence[StageRun]) -> list[str]:
    """Shell lines that run a benchmark again, then one of its stages with its exact config.

    Args:
        tags: of the benchmark's run.
        stages: of the benchmark.
    """
    lines = [tags.get("command") or shlex.join(["mae-bench", "run", tags["recipe"]])]
    made = {one.encoder for one in stages if one.stage in makers()}
    for one in sorted(stages, key=lambda stage: stage.encoder not in made):
        if one.stage not in tasks() or card_of(one.stage).takes == "classifier":
            continue
        config = f"{RUNS}{one.mlflow_run_id}"  # read as data, whoever wrote it
        return [*lines, shlex.join(["mae-bench", one.stage, config, "--encoder", one.source])]
    return lines


def facts(stages: Sequence[StageRun]) -> dict[str, str]:
    """What the stages ran with, as far as it was tracked; several values where they differ."""
    found = {
        "seed": alternatives("" if one.seed is None else str(one.seed) for one in stages),
        "commit": alternatives(one.code.get("commit", "") for one in stages),
        "code": alternatives(one.code.get("hash", "") for one in stages),
        "accepted code": ", ".join(
            f"{one.accepted_code} in {one.name}" for one in stages if one.accepted_code
        ),
        "versions": versions(stages),
        "hardware": alternatives(one.hardware for one in stages),
    }
    return {name: value for name, value in found.items() if value}


def versions(stages: Sequence[StageRun]) -> str:
    """'torch 2.11.0, timm 1.0.31'."""
    names = dict.fromkeys(name for one in stages for name in one.versions)
    values = {name: alternatives(one.versions.get(name, "") for one in stages) for name in names}
    return ", ".join(f"{name} {value}" for name, value in values.items())


def alternatives(values: Iterable[str]) -> str:
    """The different texts that are not empty: '0 or 1'."""
    return " or ".join(dict.fromkeys(value for value in values if value))
