"""Image files in folders."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mae_core.data.decode import read_regular
from mae_core.data.roots import files_below
from mae_core.data.sources.base import (
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

    def read(self, index: int) -> bytes:
        """The file's content."""
        return read_regular(self.name(index))


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
        files = files_below(root)
        suffixes = suffixes_among(files)
        names = sorted((name for name in files if is_image(name, suffixes)), key=natural)
        others = left_out(files, suffixes)
        if not names:
            raise no_images(root, others)
        tell_left_out(others, root)
        self.root = root
        self.names = packed(names)
        self.classes, self.labels = labels_by_folder(names)
