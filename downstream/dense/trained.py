"""A trained detector or segmentor, read from the file that its stage left."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel

from downstream.dense.stored import ModelFile, blaming, build_stored, check_stored
from mae_core.checkpoints import read_metadata, read_state
from mae_core.errors import UserError

USED = ("model", "image", "default_scope")  # of the config in the file


class Trained(NamedTuple):
    """A model ready to predict.

    Attributes:
        model: in evaluation, on the device.
        config: of its stage: `model`, `image` and `default_scope`.
        classes: names by label.
    """

    model: BaseModel
    config: Config
    classes: tuple[str, ...]


def load_trained(path: Path, kind: ModelFile) -> Trained:
    """Read a file such as `detector.safetensors`.

    Raises:
        UserError: if it is none, another stage's, or describes what should not be built, see
            :mod:`downstream.dense.stored`.
    """
    with blaming(path):
        about = read_metadata(path)
    fields = about.get("config")
    if not isinstance(fields, dict) or fields.get("stage") != kind.stage:
        raise UserError(
            f"{path} is no model of mae-bench {kind.stage}: expected the {kind.name} that a run "
            "left in its work dir"
        )
    model = fields.get("model")
    if isinstance(model, dict) and isinstance(model.get("backbone"), dict):
        model["backbone"].update(source="random", resample_patches=False)  # all weights come below
    check_stored(fields, about.get("classes"), path, kind)
    config = Config({key: fields[key] for key in USED})
    built = build_stored(config, read_state(path), path)
    classes = tuple(about["classes"]) if kind.classified else ()
    return Trained(built.to(get_device()).eval(), config, classes)


def check_images(images: Sequence[Path]) -> None:
    """Raise UserError for the first that is no file."""
    if not images:
        raise UserError("--predict needs images: name some after the model's file")
    for path in images:
        if not path.is_file():
            raise UserError(f"no image at {path}")


def own_names(images: Sequence[Path]) -> list[str]:
    """The images' names without suffix, numbered where several are the same."""
    stems = Counter(path.stem for path in images)
    seen: Counter[str] = Counter()
    names = []
    for path in images:
        seen[path.stem] += 1
        names.append(path.stem if stems[path.stem] == 1 else f"{path.stem}-{seen[path.stem]}")
    return names
