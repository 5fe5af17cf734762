"""What the reader of a format gives: objects as their files have them, and what cannot be read.

No library was found that reads them well enough: of VOC and CVAT, labelformat and globox read boxes
alone, and XML with its entities; supervision draws polygons as masks, keeps 32 bits of a number,
has no CVAT and brings 100 MB for video. All stop at the first fault, none lists what it changed.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from downstream.dense.values import is_name, is_number, plain, told
from mae_core.data.decode import Size, read_regular
from mae_core.data.roots import files_below
from mae_core.data.sources.base import is_hidden, natural
from mae_core.errors import UserError

LONGEST = 255  # letters of a class's name


class Broken(Exception):
    """A file of annotations cannot be read: the message says why, after the file's name."""


@dataclass
class Object:
    """An object with a class and a place, in pixels from the image's upper left corner.

    Attributes:
        where: it stands in its file, such as 'object 3'.
        label: its class; empty if its file names none that is known.
        box: [left, top, width, height]; None where the mask says it.
        mask: polygons [[x, y, x, y, ...], ...] or COCO's runs; None for a box.
        area: that its file states, in pixels.
        crowd: whether it is neither learnt nor counted as missed.
        ignore: whether COCO's `ignore` is set.
        mended: what was changed in it, and why.
    """

    where: str
    label: str
    box: list[float] | None = None
    mask: Any = None
    area: Any = None
    crowd: bool = False
    ignore: bool = False
    mended: list[str] = field(default_factory=list)


@dataclass
class Annotated:
    """What a source says of one image.

    Attributes:
        file: that says it, for messages.
        objects: that are in the image.
        path: of the image, as the file has it; empty if it has none.
        stem: of the image's path, without suffix, that the file's own name means; or empty.
        size: that the file states, height and width; None if it does not.
        relative: whether numbers are shares of the image's width and height, not pixels.
    """

    file: str
    objects: list[Object]
    path: str = ""
    stem: str = ""
    size: Size | None = None
    relative: bool = False

    @property
    def called(self) -> str:
        """What its image is called, for messages."""
        return plain(self.path or f"{self.stem}.*")


@dataclass
class Found:
    """All that a source holds.

    Attributes:
        annotated: by image.
        categories: names by id.
        lists_images: whether it lists all images of the data, also those without objects.
        broken: what cannot be read, a line for each file.
        dropped: objects that belong to no image of the source, a line for each.
        left_out: how many there are of what has no place among boxes and polygons, by kind.
        kept: objects with a mark that COCO has not, by mark.
        notes: what should be known.
    """

    annotated: list[Annotated] = field(default_factory=list)
    categories: dict[int, str] = field(default_factory=dict)
    lists_images: bool = False
    broken: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def noting(self, file: str) -> Iterator[None]:
        """Note a file that proves to be broken in the block."""
        try:
            yield
        except Broken as error:
            self.broken.append(f"{plain(file)} {error}")

    def name_classes(self, others: Sequence[str] = ()) -> None:
        """Number the classes of all objects, and `others`, from 1 in natural order."""
        met = {thing.label for part in self.annotated for thing in part.objects}
        self.categories = numbered_from_1(sorted(met | set(others), key=natural))


def numbered_from_1(names: Sequence[str]) -> dict[int, str]:
    """The names by id, as COCO counts."""
    return dict(enumerate(names, start=1))


def files_of(source: Path, suffix: str) -> tuple[Path, list[str]]:
    """A folder, and the paths below it of the source's files, in natural order.

    Args:
        source: a folder, of which all files with the suffix are meant, or one file.
        suffix: such as '.xml'; hidden files are passed over.

    Raises:
        UserError: if there are none.
    """
    if source.is_file():
        return source.parent, [source.name]
    if not source.is_dir():
        raise UserError(f"no annotations at {plain(str(source))}: expected a folder or a file")
    below = files_below(source)
    names = [name for name in below if name.lower().endswith(suffix) and not is_hidden(name)]
    if not names:
        raise UserError(f"no annotations in {plain(str(source))}: expected files *{suffix}")
    return source, sorted(names, key=natural)


def content_of(path: Path) -> bytes:
    """What a file holds. Raises Broken if it cannot be read."""
    try:
        return read_regular(path)
    except OSError as error:
        raise Broken(f"cannot be read: {error.strerror}") from error


def text_of(path: Path) -> str:
    """The text that a file holds. Raises Broken if it cannot be read, or is no UTF-8."""
    try:
        return content_of(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Broken(f"is no text in UTF-8: {error.reason} at byte {error.start:,}") from error


def number(value: Any, what: str) -> float:
    """A number out of a JSON or a text. Raises Broken, about `what`, for anything else."""
    found = value
    if isinstance(value, str) and "_" not in value:  # 1_000 is Python's own
        with suppress(ValueError):
            found = float(value)
    if not is_number(found):
        raise Broken(f"has {told(value)} as {what}: expected a number")
    return found


def label_of(value: Any, where: str) -> str:
    """The name of a class. Raises Broken for anything that is none."""
    if not is_name(value) or len(value) > LONGEST:
        raise Broken(
            f"has {told(value)} as class of {where}: expected a name of at most {LONGEST} letters"
        )
    return str(value)


def box_of_corners(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    """[left, top, width, height] of a box between two opposite corners."""
    return [min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1)]


def swapped(x1: float, y1: float, x2: float, y2: float) -> list[str]:
    """What to say of corners that are not left, top, right, bottom."""
    if x1 <= x2 and y1 <= y2:
        return []
    return [f"its corners were swapped: {x1:g}, {y1:g} and {x2:g}, {y2:g}"]


def stated_size(height: Any, width: Any) -> Size | None:
    """Height and width that a file states; None if it states none. Raises Broken for oddities."""
    if height is None or width is None:
        return None
    return int(number(height, "the image's height")), int(number(width, "the image's width"))


def joined(parts: Sequence[tuple[Object, str]]) -> list[Object]:
    """The objects, in order, where polygons of one class and one group are one object.

    Args:
        parts: objects and their group's name, '' for none.
    """
    whole: dict[tuple[str, str], list[Object]] = {}
    for thing, group in parts:
        if group and thing.mask:
            whole.setdefault((group, thing.label), []).append(thing)
    objects = []
    for thing, group in parts:
        first, *others = whole.get((group, thing.label), [thing]) if thing.mask else [thing]
        if first is not thing:
            continue  # a part of an object before it
        for other in others:
            thing.mask += other.mask
        if others:
            thing.mended.append(f"{len(others) + 1} polygons of group {group} are one object")
        objects.append(thing)
    return objects


def in_folder(folder: str, path: str) -> str:
    """A path that a file in `folder` states, seen from where `folder` lies; '' stays ''.

    Windows' own separators are taken, too.
    """
    return os.path.normpath(os.path.join(folder, path.replace("\\", "/"))) if path else ""
