"""Images as one array in memory, from an .npz file."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mae_core.data.sources.base import NO_LABEL, Groups, labels_by_name, labels_by_number
from mae_core.errors import UserError

CHANNELS = (1, 3, 4)  # grey, RGB, RGBA; others are allowed, but not said to come first


class ArraySource:
    """The arrays `images` (N, H, W) or (N, H, W, C) and, perhaps, `labels` (N,) of a file.

    Images are uint8, or other numbers, which are read as they are stored.

    Labels are numbers from 0, or names. The images are in the order of the array.

    Raises:
        UserError: if the file is damaged, or its arrays are missing or not as said.
    """

    groups: Groups | None = None

    def __init__(self, path: Path) -> None:
        arrays = _load(path)
        self.path = path
        images = arrays["images"]
        check_images(images.shape, images.dtype, path)
        self.images = images[..., 0] if images.shape[3:] == (1,) else images
        self.classes, self.labels = labels_of(arrays.get("labels"), len(self.images), path)

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """The file's path, a slash, and the image's number."""
        return f"{self.path}/{index}"

    def read(self, index: int) -> NDArray[Any]:
        """The pixels, (H, W) or (H, W, C) with C above 1."""
        return self.images[index]


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if "images" not in file:
                found = ", ".join(file.files) or "nothing"
                raise UserError(f"{path} has no array 'images'; it has {found}")
            return {name: file[name] for name in file.files if name in ("images", "labels")}
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} holds pickled objects or a damaged array ({error}): "
            "save plain arrays with numpy.savez"
        ) from error
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read as .npz ({error}): make it anew") from error


def check_images(shape: tuple[int, ...], dtype: np.dtype[Any], path: Path) -> None:
    """Raise UserError unless an array is one of images."""
    fits = dtype.kind in "uif" and len(shape) in (3, 4) and 0 not in shape
    channels_first = len(shape) == 4 and shape[1] in CHANNELS and shape[3] not in CHANNELS
    if not fits or channels_first:
        raise UserError(
            f"{path} has 'images' of shape {shape} and type {dtype}: expected (N, H, W) or "
            "(N, H, W, C), channels last, of uint8 or other real numbers"
        )


def labels_of(
    labels: NDArray[Any] | None, count: int, path: Path
) -> tuple[list[str], NDArray[np.int64]]:
    """Classes and labels (N,) of an array of numbers or names. Raises UserError for another."""
    if labels is None:
        return [], np.full(count, NO_LABEL, dtype=np.int64)
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise UserError(
            f"{path} has 'labels' of shape {labels.shape} and type {labels.dtype}: expected "
            f"({count},), one for each image, of integers or strings"
        )
    if labels.dtype.kind == "U":
        return labels_by_name(labels.tolist())
    return labels_by_number(labels, str(path))
