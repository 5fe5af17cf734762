"""The stages by name, and what is to be known of each."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mae_core.errors import UserError, suggest
from mae_core.stage import Reporter, StageResult
from pipelines.last_net import checking

if TYPE_CHECKING:
    from mmengine.config import Config


StageFunction = Callable[["Config", str, Path, Reporter], StageResult]

STAGES = {
    "pretrain": "mae_core.pretrain",
    "supervise": "downstream.classification.finetune",
    "finetune": "downstream.classification.finetune",
    "partial-finetune": "downstream.classification.partial",
    "low-shot": "downstream.classification.low_shot",
    "linear-probe": "downstream.classification.linear_probe",
    "knn": "downstream.classification.knn",
    "few-shot": "downstream.few_shot.stage",
    "suite": "downstream.classification.suite",
    "evaluate": "downstream.classification.evaluate",
    "analyze": "downstream.analysis.stage",
    "detect": "downstream.detection.stage",
    "segment": "downstream.segmentation.stage",
}
CHECKS = {  # where the stage's own module imports more than a check needs
    "detect": "downstream.detection.check",
    "segment": "downstream.segmentation.check",
}
PARALLEL = ("pretrain", "supervise", "finetune", "detect", "segment")  # several devices share them
BATCH_NORM = ("linear-probe",)  # normalises over the images that a device handles at once
# Those that take 'supervised', and those where that is what 'random' is.
FROM_SCRATCH = ("finetune", "partial-finetune", "low-shot", "detect", "segment")
SAME_AS_RANDOM = ("finetune", "evaluate", "detect", "segment")
NO_FILE = ("random", "supervised")  # encoders that begin with random weights
RUNS, MODELS = "runs:/", "models:/"  # begin the names of what MLflow keeps
MAKE_ENCODERS = ("pretrain", "supervise")
TASKS = tuple(name for name in STAGES if name not in MAKE_ENCODERS)
STAGE_OF = {"fine-tune": "finetune"}  # a task of the report whose stage has another name


def stage_function(name: str) -> StageFunction:
    """The function behind a stage's name; imports its libraries."""
    return importlib.import_module(STAGES[name]).run


def stage_of(task: str) -> str:
    """The stage of a task of the report, or of a metric of it: 'finetune' of 'fine-tune/top1'.

    Raises:
        UserError: if there is no such task.
    """
    name = task.partition("/")[0]
    stage = STAGE_OF.get(name, name)
    if stage not in TASKS:
        raise UserError(f"no task is called '{name}'{suggest(name, TASKS)}")
    return stage


def check_stage(stage: str, config: "Config", encoder: str) -> None:
    """Raise UserError for what the stage can know to be wrong before it runs.

    Whatever else the check raises becomes one too: its input is at fault, or the check.

    Args:
        stage: a name of :data:`STAGES`.
        config: of the stage.
        encoder: as the stage takes it; 'random' stands in for one that is not there yet.
    """
    from mae_core.agreement import check_keys  # torch
    from mae_core.data.first import try_images
    from mae_core.data.overlap import tell_overlaps

    check = importlib.import_module(CHECKS.get(stage, STAGES[stage])).check
    with checking(f"the check of {stage} in {config.filename} for the encoder '{encoder}'"):
        check_keys(config)
        check(config, encoder)
        try_images(config)
        tell_overlaps(config)
