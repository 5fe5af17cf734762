"""Image files in folders."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mae_core.data.decode import read_regular
from mae_core.data.roots import files_below
from mae_core.data.sources.base import (
    ZARR,
    Groups,
    is_image,
    labels_by_folder,
    left_out,
    natural,
    no_images,
    packed,
    suffixes_among,
    tell_left_out,
)
from mae_core.data.sources.targets import Targets
from mae_core.data.zarr import read_zarr


def with_stores(files: Iterable[str]) -> list[str]:
    """Paths of files, those of a folder of Zarr as the folder's, which is one image."""
    found = []
    for file in files:
        parts = file.split("/")
        ends = [place for place, part in enumerate(parts[:-1]) if part.lower().endswith(ZARR)]
        found.append("/".join(parts[: ends[0] + 1]) if ends else file)
    return list(dict.fromkeys(found))


class FilesBelow:
    """A source of image files below a folder.

    Attributes:
        root: the folder.
        names: (N,) paths below it, see :func:`packed`.
    """

    root: Path
    names: NDArray[np.bytes_]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """The file's path."""
        return f"{self.root}/{os.fsdecode(self.names[index])}"

    def read(self, index: int) -> bytes | NDArray[Any]:
        """The file's content, or of a folder of Zarr the pixels (H, W) or (H, W, C)."""
        name = self.name(index)
        if name.lower().endswith(ZARR) and os.path.isdir(name):
            return read_zarr(name)
        return read_regular(name)


class FolderSource(FilesBelow):
    """The image files below a folder, in natural order of their paths.

    The class of an image is the folder that it lies in, see :func:`labels_by_folder`. Images at the
    top have none. Files of other kinds are left out, and that is said.

    Raises:
        UserError: if there are no images, or as :func:`files_below`.
    """

    groups: Groups | None = None
    targets: Targets | None = None

    def __init__(self, root: Path) -> None:
        files = with_stores(files_below(root))
        suffixes = suffixes_among(files)
        names = sorted((name for name in files if is_image(name, suffixes)), key=natural)
        others = left_out(files, suffixes)
        if not names:
            raise no_images(root, others)
        tell_left_out(others, root)
        self.root = root
        self.names = packed(names)
        self.classes, self.labels = labels_by_folder(names)
