"""Images as one array in memory, from an .npz file."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mae_core.data.sources.base import Groups, labels_by_name, labels_by_number, no_labels
from mae_core.data.sources.targets import Targets
from mae_core.errors import UserError

CHANNELS = (1, 3, 4)  # grey, RGB, RGBA; others are allowed, but not said to come first


class ArraySource:
    """The arrays `images` (N, H, W) or (N, H, W, C) and, perhaps, `labels` (N,) of a file.

    Images are uint8, or other numbers, which are read as they are stored.

    Labels are numbers from 0, or names. In place of them there may be `numbers` (N,), or several
    labels an image, `labels` (N, L) of 0 and 1 with their names in `classes` (L,). The images are
    in the order of the array.

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
        count = len(self.images)
        self.targets = _targets(arrays, count, path)
        single = arrays.get("labels") if self.targets is None else None
        self.classes, self.labels = labels_of(single, count, path)

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
            known = ("images", "labels", "numbers")
            arrays = {name: file[name] for name in file.files if name in known}
            if "classes" in file and arrays.get("labels", np.empty(0)).ndim == 2:
                arrays["classes"] = file["classes"]
            return arrays
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
        return [], no_labels(count)
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise UserError(
            f"{path} has 'labels' of shape {labels.shape} and type {labels.dtype}: expected "
            f"({count},), one for each image, of integers or strings; or ({count}, L) of 0 and 1 "
            "for several labels an image"
        )
    if labels.dtype.kind == "U":
        return labels_by_name(labels.tolist())
    return labels_by_number(labels, str(path))


def _targets(arrays: dict[str, NDArray[Any]], count: int, path: Path) -> Targets | None:
    """Of `numbers`, or of `labels` with two axes."""
    labels, numbers = arrays.get("labels"), arrays.get("numbers")
    if numbers is not None:
        if labels is not None:
            raise UserError(f"{path} has 'labels' and 'numbers': an image has one, leave one out")
        return Targets("number", ("number",), _numbers(numbers, count, path))
    if labels is None or labels.ndim != 2 or labels.shape[0] != count:
        return None
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        raise UserError(
            f"{path} has 'labels' of shape {labels.shape} that are not 0 and 1: expected 1 where "
            f"an image has a label; for classes ({count},)"
        )
    return Targets("labels", _names(arrays.get("classes"), labels, path), labels.astype(np.float32))


def _numbers(numbers: NDArray[Any], count: int, path: Path) -> NDArray[np.float32]:
    """(N, 1)."""
    fits = numbers.shape == (count,) and numbers.dtype.kind in "iuf"
    with np.errstate(over="ignore"):
        values = numbers.astype(np.float32) if fits else np.empty(0, np.float32)
    if not fits or not np.isfinite(values).all():
        raise UserError(
            f"{path} has 'numbers' of shape {numbers.shape} and type {numbers.dtype}: expected "
            f"({count},), a finite number for each image; {int((~np.isfinite(values)).sum()):,} "
            "are not finite"
        )
    return values[:, None]


def _names(names: NDArray[Any] | None, labels: NDArray[Any], path: Path) -> tuple[str, ...]:
    """Of the labels; their numbers if `names` is not there."""
    count = labels.shape[1]
    if names is None and count > 1:
        return tuple(map(str, range(count)))
    found = [] if names is None or names.dtype.kind != "U" else names.ravel().tolist()
    if len(set(found) - {""}) != count or not count:
        raise UserError(
            f"{path} has 'labels' of shape {labels.shape}: expected 'classes' ({count},), a "
            "different name for each of its columns; for one class an image, 'labels' have one axis"
        )
    return tuple(found)
