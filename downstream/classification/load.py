"""Fine-tuned classifiers from files: ours, and others' in any known layout."""

from typing import Any

from downstream.classification.answers import refuse_others
from downstream.classification.classifier import Classifier
from downstream.classification.imagenet import synsets
from mae_core.checkpoints import NOT_ENCODER, load_weights, read_metadata, read_weights
from mae_core.data.normalize import Normalize
from mae_core.encoders import create_encoder
from mae_core.errors import UserError

NORM = ("weight", "bias")


def load_classifier(
    path: str, encoder: dict[str, Any], pixels: dict[str, Any]
) -> tuple[Classifier, list[str]]:
    """The classifier in a file, and the names of its classes by label.

    A norm after pooling (`fc_norm`) means a global average; without it others' files are taken to
    use the class token. A file that names no classes and has 1000 of them is ImageNet-1k's.

    Args:
        path: a `classifier.safetensors` of ours, or a checkpoint of another layout.
        encoder: `arch` and overrides, as in :func:`mae_core.create_encoder`.
        pixels: mean and deviation of the images, see :func:`mae_core.for_encoder.with_encoder`.

    Raises:
        UserError: if it holds no classifier, or not all weights of this one, or if it answers
            with several labels or a number.
    """
    state, about = read_weights(path), read_metadata(path)
    refuse_others(about, path)
    if "head.weight" not in state:
        raise UserError(f"{path} has no head: give a classifier, as `mae-bench finetune` writes it")
    count = len(state["head.weight"])
    classes = about.get("classes") or (synsets() if count == 1000 else list(map(str, range(count))))
    pooled = "fc_norm.weight" in state
    pool = about.get("pool") or ("avg" if pooled else "cls")
    norm_first = bool(about.get("norm_first"))
    model = Classifier(
        create_encoder(**encoder), count, Normalize(**pixels), pool, norm_first=norm_first
    )
    report = load_weights(model, path)
    if odd := [key for key in report.unexpected if not key.startswith(NOT_ENCODER)]:
        raise UserError(f"{path} has weights that no classifier has here: {', '.join(odd[:5])}")
    missing = set(report.missing)
    if pooled and model.encoder.norm is not None:
        model.encoder.norm.load_state_dict({key: state[f"fc_norm.{key}"] for key in NORM})
        missing -= {f"encoder.norm.{key}" for key in NORM}
    if missing:
        raise UserError(f"{path} lacks weights of its classifier: {', '.join(sorted(missing)[:5])}")
    return model, list(classes)
