"""Figures that others have published, shown only beside results of the same protocol.

`published.json` names for each figure the config that follows its protocol. A figure is shown if
the stage ran with that config, changed in nothing but the seed and what only changes speed: the
same architecture, data set and schedule. Every encoder behind a figure was pretrained by MAE on
ImageNet-1k.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from mae_core.engine.config import load_config
from pipelines.identity import LOADER_SPEED, decisive
from pipelines.protocol import without

MAE = "He et al. 2021, Masked Autoencoders Are Scalable Vision Learners, arXiv:2111.06377"
SOURCES = {
    "mae": f"{MAE}, Table 3; 1600 epochs of pretraining",
    "mae-linear": f"{MAE}, Table 12; 1600 epochs of pretraining",
    "mae-robust": f"{MAE}, Table 13; 1600 epochs of pretraining",
    "mae-segment": f"{MAE}, Table 5",
    "vitdet": "facebookresearch/detectron2, projects/ViTDet/README.md (Li et al. 2022, "
    "arXiv:2203.16527, of its own code); pretrained by MAE",
}
FREE = {*LOADER_SPEED, "seed"}


@dataclass(frozen=True)
class Published:
    """A figure of others, 0 to 1."""

    metric: str
    value: float
    source: str


def published(stage: str, config: Mapping[str, Any]) -> list[Published]:
    """The figures published for a stage's protocol and architecture, if there are any.

    Args:
        stage: a name of :data:`pipelines.stages.STAGES`.
        config: the whole config that it ran with.
    """
    same = fixed(config)
    return [
        Published(metric, value, SOURCES[entry["source"]])
        for entry in entries(stage)
        if same == fixed(load_config(entry["config"]).to_dict())
        for metric, value in entry["metrics"].items()
    ]


def entries(stage: str) -> list[dict[str, Any]]:
    """What the file has for a stage."""
    found = json.loads((files(__package__) / "published.json").read_text())
    return [e for e in found if e["config"].startswith(f"{stage.replace('-', '_')}/")]


def fixed(config: Mapping[str, Any]) -> Any:
    """What has to be the same: all but seed and speed."""
    return without(decisive(config), FREE)
