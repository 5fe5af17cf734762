"""Figures that others have published, shown only beside rows of the same pretraining and protocol.

`published.json` names for each figure the config that follows its protocol, and the config of the
pretraining behind it. A figure stands beside a row if both stages ran with these configs, changed
in nothing but the seed and what only changes speed: the same architecture, data sets and epochs.
The weights that facebookresearch published are those of that pretraining. What else is known of a
figure's protocol is told with its source.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from mae_core.config import load_config
from pipelines.identity import NO_PUBLISHED, result_config, without
from pipelines.report.protocol import stored_config
from pipelines.tracking.stored_run import StoredRun
from pipelines.tracking.tracker import Tracker

PAPER = "He et al. 2021, Masked Autoencoders Are Scalable Vision Learners, arXiv:2111.06377"
CODE = "facebookresearch/mae"
TPU = "the paper's code (TensorFlow on TPUs, not public)"
SOURCES = {  # what is known of a protocol: source, code, whether its settings were searched
    "finetune-md": f"{CODE}, FINETUNE.md; its code (PyTorch); search of the settings not told",
    "finetune-md-eval": f"{CODE}, FINETUNE.md, the published fine-tuned weights; its code "
    "(PyTorch); search of the settings not told",
    "finetune-md-probe": f"{CODE}, FINETUNE.md, linear probing; its code (PyTorch); search of the "
    "settings not told",
    "pretrain-md": f"{CODE}, PRETRAIN.md, a sanity check; its code (PyTorch); search of the "
    "settings not told",
    "table-3": f"{PAPER}, Table 3; {TPU}; settings of Table 9, which FINETUNE.md calls slightly "
    "different from those for these weights",
    "table-12": f"{PAPER}, Table 12; {TPU}; settings of Table 10",
    "table-13": f"{PAPER}, Table 13; {TPU}; the fine-tuned models of Table 3, nothing trained",
    "table-5": f"{PAPER}, Table 5; after BEiT's segmentation code; 100 epochs, the rate searched "
    "for each entry, relative positions (A.4)",
    "mmseg": "open-mmlab/mmsegmentation, configs/mae; its code (PyTorch); 160,000 updates",
    "vitdet": "facebookresearch/detectron2, projects/ViTDet/README.md (Li et al. 2022, "
    "arXiv:2203.16527); its code (PyTorch), from which this one differs as docs/dense.md says",
}
UNKNOWN = "seeds and spread not told"
WEIGHTS = {  # published encoders by the config of their pretraining
    "pretrain/vit-base-p16_8xb512-amp-coslr-1600e_in1k": "timm:vit_base_patch16_224.mae",
    "pretrain/vit-large-p16_8xb512-amp-coslr-1600e_in1k": "timm:vit_large_patch16_224.mae",
    "pretrain/vit-huge-p14_8xb512-amp-coslr-1600e_in1k": "timm:vit_huge_patch14_224.mae",
}


@dataclass(frozen=True)
class Published:
    """A figure of others, 0 to 1, beside the row `encoder`; `source` has its protocol."""

    metric: str
    value: float
    source: str
    encoder: str


def published(run: StoredRun, tracker: Tracker) -> list[Published]:
    """The figures published for a task's run: its protocol, architecture and pretraining.

    Args:
        run: of a task.
        tracker: of MLflow.
    """
    known = entries(run.stage)
    followed = config_among([entry["config"] for entry in known], run, tracker) if known else ""
    if not followed:  # what made the encoder need not be looked for
        return []
    pretrained, finetuned = origins(run, tracker)
    return [
        Published(metric, value, protocol_line(entry), run.encoder)
        for entry in known
        if entry["config"] == followed
        and entry["pretrain"] == pretrained
        and finetuned in (*entry.get("finetune", ()), "any")
        for metric, value in entry["metrics"].items()
    ]


def origins(run: StoredRun, tracker: Tracker) -> tuple[str, str]:
    """The configs of the pretraining and, of a classifier, of the fine-tuning behind a run.

    Each is '' where it is none that a figure was published for; the second is 'any' for a task that
    takes an encoder.
    """
    finetuned, maker = "any", run
    while maker.stage != "pretrain" and (above := tracker.look_up(maker.encoder_run)):
        maker = above
        if maker.stage == "finetune":
            known = sorted({name for e in entries() for name in e.get("finetune", ())})
            finetuned = config_among(known, maker, tracker)
    if maker.stage == "pretrain":
        pretrained = config_among(sorted({e["pretrain"] for e in entries()}), maker, tracker)
    else:
        by_weights = {weights: config for config, weights in WEIGHTS.items()}
        pretrained = by_weights.get(maker.spec, "")
    return pretrained, finetuned


def protocol_line(entry: Mapping[str, Any]) -> str:
    """All that is known of how a figure came about."""
    epochs = load_config(entry["pretrain"]).train_cfg.max_epochs
    return (
        f"{SOURCES[entry['source']]}; {epochs} epochs of pretraining by MAE on ImageNet-1k; "
        f"{entry.get('seeds', UNKNOWN)}"
    )


def entries(stage: str = "") -> list[dict[str, Any]]:
    """What the file has for a stage, or for all."""
    begins = f"{stage.replace('-', '_')}/" if stage else ""
    return [entry for entry in all_entries() if entry["config"].startswith(begins)]


@cache
def all_entries() -> list[dict[str, Any]]:
    """The content of the file."""
    found: list[dict[str, Any]] = json.loads((files(__package__) / "published.json").read_text())
    return found


def config_among(names: Sequence[str], run: StoredRun, tracker: Tracker) -> str:
    """The one of our configs `names` that a run followed, '' if none."""
    own = settings_of(stored_config(run, tracker))
    return next((name for name in names if own == ours(name)), "")


@cache
def ours(name: str) -> Any:
    """What has to be the same of one of our configs."""
    return settings_of(load_config(name).to_dict())


def settings_of(config: Mapping[str, Any]) -> Any:
    """What has to be the same: all but seed and speed; a start that is no random weights counts."""
    return [without(result_config(config), NO_PUBLISHED), config.get("start")]
