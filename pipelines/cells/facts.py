"""What is told of a stage's encoder beside its numbers: tags of its MLflow run."""

import json
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mae_core.encoders.cost import flops_of, parameters_of
from mae_core.encoders.registry import create_encoder, restore_encoder
from mae_core.for_encoder import with_encoder
from mae_core.reading import read_metadata
from pipelines.tracking.stored_run import FACTS

GIGA = 1e9
log = logging.getLogger(__name__)


def encoder_facts(config: Config, source: str) -> dict[str, str]:
    """Architecture, size, cost, licence and preprocessing of the encoder that a stage tests.

    What cannot be found out is left out, with a warning: no result is worth less without it.

    Args:
        config: of the stage.
        source: 'random' or another name without a file, or the path of the encoder's file.

    Returns:
        Texts by the name of a tag: `encoder.arch`, `encoder.protocol`, `encoder.licence` of a file,
        `encoder.family`, `encoder.input_size` ('224x224'), `encoder.parameters`, and
        `encoder.gflops` of one image of that size, of which a multiplication with its addition
        counts two.
    """
    found = {"protocol": str(config.get("protocol", "own"))}
    try:
        about = read_metadata(source) if Path(source).expanduser().exists() else {}
        if about.get("licence"):
            found["licence"] = str(about["licence"])
        if "encoder" in config:
            fields = with_encoder(config, source).encoder
            found["arch"] = str(fields["arch"])
            found |= _counted(json.dumps({"create": dict(fields)}))
        elif "encoder" in about:  # a stage that takes a classifier has no encoder in its config
            found |= _counted(json.dumps({"restore": about}))
    except Exception as error:  # of the encoder's own code, which may be a package's
        log.warning("what the encoder %s is like is not known: %s", source, error)
    return {f"{FACTS}{name}": text for name, text in found.items()}


@lru_cache(maxsize=256)
def _counted(described: str) -> dict[str, str]:
    """Family, input, size and cost of an encoder, which is not computed with: it has no numbers."""
    kind, fields = next(iter(json.loads(described).items()))
    with torch.device("meta"):
        encoder: Any = restore_encoder(fields) if kind == "restore" else create_encoder(**fields)
    height, width = encoder.img_size
    found = {
        "family": encoder.family,
        "input_size": f"{height}x{width}",
        "parameters": str(parameters_of(encoder)),
    }
    try:
        found["gflops"] = f"{flops_of(encoder) / GIGA:.4g}"
    except Exception as error:  # some architectures do not run without numbers
        log.warning("what %s costs is not known: %s", fields, error)
    return found
