"""The image files that annotations are of, found by what the annotations call them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from downstream.dense.convert.found import Annotated, Broken
from downstream.dense.pictures import of_each
from downstream.dense.values import is_name, plain, told
from mae_core.data.decode import MAX_PIXELS, Size, Unreadable, open_file
from mae_core.data.roots import files_below
from mae_core.data.sources.base import is_image, left_out, natural, no_images
from mae_core.errors import UserError


class Pictures:
    """The image files below a folder.

    Attributes:
        names: paths below the folder, in natural order.

    Raises:
        UserError: if there is no such folder, or no image in it.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"no folder {plain(str(folder))} with images: name it by --images")
        files = files_below(folder)
        self.folder = folder
        self.names = sorted(filter(is_image, files), key=natural)
        if not self.names:
            raise no_images(folder, left_out(files))
        self.by_name: dict[str, list[str]] = {}
        self.by_stem: dict[str, list[str]] = {}
        for name in self.names:
            base = os.path.basename(name)
            self.by_name.setdefault(base, []).append(name)
            self.by_stem.setdefault(os.path.splitext(base)[0], []).append(name)

    def find(self, annotated: Annotated) -> str | None:
        """The image that annotations are of; None if there is none.

        Raises:
            Broken: if it may be one of several.
        """
        names = {*among(self.by_name, annotated.path), *among(self.by_stem, annotated.stem)}
        if len(names) > 1:
            raise Broken(
                f"may be of several images, {told(sorted(names, key=natural))}: rename them"
            )
        return next(iter(names), None)

    def sizes(self, names: Sequence[str]) -> tuple[list[Size], list[str]]:
        """Height and width of images as viewers show them, and what is wrong with others."""
        found = of_each(self.size, names)
        return (
            [size for size in found if not isinstance(size, str)],
            [fault for fault in found if isinstance(fault, str)],
        )

    def size(self, name: str) -> Size | str:
        """Height and width of an image, of which the header is read, or what is wrong with it."""
        if not is_name(name):
            return f"{plain(name)}: its name is no UTF-8 or cannot be printed: rename it"
        try:
            height, width = open_file(self.folder / name).size
        except Unreadable as error:
            return plain(str(error))
        if height * width > MAX_PIXELS:
            return f"{plain(name)} has {height * width:,} pixels: at most {MAX_PIXELS:,} are read"
        return height, width


def among(table: Mapping[str, list[str]], call: str) -> list[str]:
    """The images that a path may mean: itself, else those in folders of the same names, else any.

    Args:
        table: paths of images by the last part of what `call` is, a path with or without suffix.
        call: what the image is called; '' means none.
    """
    names = table.get(os.path.basename(call), []) if call else []
    exact = [name for name in names if call in (name, os.path.splitext(name)[0])]
    return exact or [name for name in names if in_same_folders(name, call)] or names


def in_same_folders(name: str, call: str) -> bool:
    """Whether the shorter one of two paths ends the longer one, but for the file's own name."""
    one, other = (f"/{os.path.dirname(path)}".rstrip("/") for path in (name, call))
    return one.endswith(other) or other.endswith(one)
