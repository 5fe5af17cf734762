"""The rows of a benchmark: encoders that it makes itself, and encoders that are there already."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mae_core.config import find_config, load_config
from mae_core.errors import UserError, check_name
from mae_core.names import TIMM, TRIVIAL
from pipelines.stages import MODELS, NO_FILE, RUNS, makers
from pipelines.tracking.encoders import EncoderRef

# By row, the stage that makes it and the recipe's key for its config, where the row has none.
NAMED = {"mae": ("pretrain", "pretrain"), "supervised": ("supervise", "supervised")}
KNOWN = ("mae", *NO_FILE)  # names that need no file, for a hint
ENCODERS = (TIMM, RUNS, MODELS)  # begin what is an encoder and no config
NAME = re.compile(r"[0-9A-Za-z][\w-]{0,39}", re.ASCII)


@dataclass(frozen=True)
class Row:
    """An encoder that is compared.

    Attributes:
        name: in MLflow, in the names of folders and in reports.
        made_by: the stage of this benchmark that makes it, '' if it is there already.
        config: of that stage.
        ref: the encoder, if it is there already.
        start: the encoder that this benchmark goes on from to make the row's, if it does.
    """

    name: str
    made_by: str = ""
    config: Config | None = None
    ref: EncoderRef | None = None
    start: EncoderRef | None = None

    @property
    def begins_with(self) -> str:
        """What the stage that makes it takes: 'random', or the path of a file."""
        return self.start.path if self.start else "random"

    @property
    def spec(self) -> str:
        """What others call the encoder, if that is not the row's name, else ''."""
        return self.ref.name if self.ref and self.ref.name != self.name else ""


def asked_rows(content: Config) -> dict[str, tuple[str, str]]:
    """By row, the stage that makes it and its config's name, or '' and an encoder's name.

    Args:
        content: of a recipe, whose `encoders` is a list of names, or a dict of a config, an encoder
            or None by name. None says what a list's name says: the name is that of the encoder.

    Raises:
        UserError: for a row that cannot be called so, or whose value is neither.
    """
    encoders = content.encoders
    values = dict(encoders) if isinstance(encoders, dict) else dict.fromkeys(encoders)
    lower = [name.lower() for name in values]
    found = {}
    for name, value in values.items():
        if value is None:
            found[name] = by_name(name, content)
            continue
        if lower.count(name.lower()) > 1:  # some disks do not tell 'A' from 'a'
            raise UserError(f"encoders has '{name}' twice, but for upper and lower case")
        found[name] = by_value(name, value)
    return found


def by_name(name: str, content: Config) -> tuple[str, str]:
    """As :func:`asked_rows`, for a row of which the recipe gives the name alone."""
    if name not in NAMED:
        return "", name
    stage, key = NAMED[name]
    if key not in content:
        raise UserError(
            f"{content.filename} has the row '{name}', but no key `{key}`: name the config that "
            f"makes it, under configs/{stage}"
        )
    return stage, content[key]


def by_value(name: str, value: str) -> tuple[str, str]:
    """As :func:`asked_rows`, for a row with a value of its own."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"encoders has {name!r}, which names files too: expected at most 40 letters, digits, "
            "'-' and '_'; an encoder under its own name has the value None"
        )
    check_name(value)
    stage = "" if value.startswith(ENCODERS) else stage_of_config(name, value)
    if name == "random" or value in ("random", "supervised"):
        raise UserError(
            f"encoders has {name}='{value}': random weights are the row random=None, training "
            "from scratch the row 'supervised'"
        )
    if name in TRIVIAL and value != name:
        raise UserError(f"encoders has {name}='{value}': the row '{name}' is what its name says")
    if (name == "supervised") != (stage == "supervise"):  # tasks train that row from scratch too
        raise UserError(
            f"encoders has {name}='{value}': a config of the stage supervise makes the row "
            "'supervised', and nothing else does"
        )
    return stage, value


def stage_of_config(row: str, value: str) -> str:
    """The stage of the config that a row names; '' for the file of an encoder.

    Raises:
        UserError: if it is neither.
    """
    try:
        find_config(value)
    except UserError as error:
        if value in NO_FILE or Path(value).expanduser().exists():
            return ""
        raise UserError(f"the row '{row}' has '{value}': no such encoder, and {error}") from None
    stage = load_config(value).get("stage")
    if stage not in makers():
        raise UserError(
            f"the row '{row}' has '{value}', a config for '{stage}': expected one for "
            f"{' or '.join(makers())}"
        )
    return str(stage)


def chosen_rows(override: str, encoders: Any) -> str:
    """An override that lists rows of a recipe's dict `encoders` as the dict that it means.

    Others stay as they are. A name that is not in the dict is that of an encoder.
    """
    key, _, text = override.partition("=")
    if key != "encoders" or not isinstance(encoders, dict):
        return override
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return override
    if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
        return override
    return f"encoders={ {name: encoders.get(name) for name in names} }"
