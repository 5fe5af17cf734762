"""How tar shards keep several labels or a number of each image, beside WebDataset's classes."""

import json
from collections.abc import Sequence

import numpy as np

from mae_core.data.sources.targets import Targets, check_size
from mae_core.errors import UserError

ABOUT = "mae-bench-targets.json"  # a member of each shard: kind, names and unit
TARGET = ".target"  # suffix of an image's: numbers of its labels by spaces, or its number
NONE = "-"  # of an image without a label


def about(targets: Targets) -> bytes:
    """The content of :data:`ABOUT`."""
    content = {"kind": targets.kind, "names": targets.names, "unit": targets.unit}
    return json.dumps(content).encode()


def target_texts(targets: Targets) -> list[str]:
    """The content of each image's :data:`TARGET`."""
    if targets.kind == "number":
        return [str(value) for value in targets.values[:, 0]]
    return [" ".join(map(str, np.flatnonzero(row))) or NONE for row in targets.values]


def targets_from(content: str, texts: Sequence[str], of: str) -> Targets:
    """What :func:`about` and :func:`target_texts` made.

    Args:
        content: of :data:`ABOUT`.
        texts: of all images.
        of: the shards, for messages.

    Raises:
        UserError: if they are not so, or an image has none.
    """
    try:
        found = _described(json.loads(content), len(texts), of)
        for row, text in enumerate(texts):
            if found.kind == "number":
                found.values[row] = np.float32(text)
            elif text != NONE:
                numbers = np.array(text.split(), dtype=np.uint32)
                if not len(numbers):
                    raise ValueError(f"image {row} has no {TARGET}")
                found.values[row, numbers] = 1
        if not np.isfinite(found.values).all():
            raise ValueError("a number is not finite")
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
        raise UserError(
            f"{of} has the labels or numbers of images not as mae-bench data pack writes them "
            f"({ABOUT}, *{TARGET}: {error}): pack the data anew"
        ) from error
    return found


def _described(content: object, count: int, of: str) -> Targets:
    """With zeros for values."""
    if not isinstance(content, dict):
        raise TypeError("expected an object")
    kind, names, unit = content["kind"], content["names"], content["unit"]
    words = [unit, *names]
    if kind not in ("labels", "number") or not names or (kind == "number" and len(names) > 1):
        raise ValueError(f"{len(names)} names of the kind {kind!r}")
    if not all(isinstance(word, str) for word in words) or len(set(names)) < len(names):
        raise ValueError("expected different names")
    check_size(count, len(names), of)
    return Targets(kind, tuple(names), np.zeros((count, len(names)), dtype=np.float32), unit)
