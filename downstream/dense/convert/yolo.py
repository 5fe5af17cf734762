"""YOLO: a text for each image, a line for each object: class, then shares of the image's sides."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from downstream.dense.convert.found import (
    Annotated,
    Broken,
    Found,
    Object,
    files_of,
    number,
    text_of,
)
from downstream.dense.values import is_name, plain, told, whole
from mae_core.errors import UserError

YAMLS = ("data.yaml", "data.yml", "dataset.yaml")
LISTS = ("classes.txt", "obj.names")
FOLDERS_UP = 2  # from labels/train to the folder of data.yaml
BOX, POLYGON = 4, 6  # numbers of a box, and of the smallest polygon
FAR = 1.0  # sides of the image beyond it: what is further out are pixels, no shares


class Classes(NamedTuple):
    """What a file says of the classes.

    Attributes:
        names: by the numbers of YOLO.
        keypoints: numbers for the keypoints of an object, after those of its box.
    """

    names: dict[int, str]
    keypoints: int = 0


def read_yolo(source: Path, chosen: Sequence[str]) -> Found:
    """All annotations below a folder, or those of one file.

    Args:
        source: of the texts; what names the classes is there or above.
        chosen: names of the classes in the order of their numbers, if nothing there does.

    Raises:
        UserError: if there are none, or nothing names the classes.
    """
    folder, files = files_of(source, ".txt")
    file, classes = find_classes(folder)
    if file is None and not chosen:
        raise UserError(
            f"nothing names the classes of {plain(str(source))}: expected {', '.join(YAMLS)}, "
            f"{' or '.join(LISTS)} there or up to {FOLDERS_UP} folders above, or --classes a,b,c"
        )
    if file is None:
        classes = Classes(dict(enumerate(chosen)))
    found = Found(categories={key + 1: name for key, name in sorted(classes.names.items())})
    found.notes.append(f"the numbers of classes are those of {plain(str(file or '--classes'))}")
    for name in files:
        if os.path.basename(name) in LISTS:
            continue
        with found.noting(name):
            lines = text_of(folder / name).splitlines()
            objects = []
            for place, line in enumerate(lines, start=1):
                if line.strip():
                    objects.append(read_line(line.split(), f"line {place}", classes, found))
            stem = os.path.splitext(name)[0]
            found.annotated.append(Annotated(name, objects, stem=of_image(stem), relative=True))
    return found


def of_image(stem: str) -> str:
    """Where the image of a text is: in a folder 'images' in the place of the last 'labels'."""
    parts = stem.split("/")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "labels":
            parts[place] = "images"
            break
    return "/".join(parts)


def read_line(words: Sequence[str], where: str, classes: Classes, found: Found) -> Object:
    """One object, in shares of the image. Raises Broken if it is none."""
    values = [number(word, f"a number of {where}") for word in words]
    key = whole(values[0])
    if key is None:
        raise Broken(f"has {told(words[0])} as class of {where}: expected its number")
    label, place = classes.names.get(key, ""), values[1:]
    where = where if label else f"{where}, class {key}"
    if classes.keypoints and len(place) == BOX + classes.keypoints:
        found.left_out["keypoints of an object"] += 1
        place = place[:BOX]
    if len(place) != BOX and (len(place) < POLYGON or len(place) % 2):
        raise Broken(
            f"has {len(values)} numbers in {where}: expected a class and x, y, width, height, or "
            "a class and x, y of three points or more"
        )
    far = [value for value in place if not -FAR <= value <= 1 + FAR]
    if far:
        raise Broken(
            f"has {far[0]:g} in {where}: expected shares of the image's sides, 0 to 1, not pixels"
        )
    if len(place) > BOX:
        return Object(where, label, mask=[place])
    x, y, wide, high = place
    if min(wide, high) < 0:
        raise Broken(f"has the size {wide:g}, {high:g} in {where}: expected 0 to 1")
    return Object(where, label, [x - wide / 2, y - high / 2, wide, high])


def find_classes(folder: Path) -> tuple[Path | None, Classes]:
    """The file that names the classes, in a folder or above it, None if there is none.

    Raises:
        UserError: if it cannot be read, or if files of one folder do not agree.
    """
    folder = folder.absolute()
    for place in (folder, *folder.parents[:FOLDERS_UP]):
        paths = [place / name for name in (*YAMLS, *LISTS) if (place / name).is_file()]
        if not paths:
            continue
        read = [read_classes(path) for path in paths]
        for path, other in zip(paths, read, strict=True):
            if other.names != read[0].names:
                raise UserError(
                    f"{plain(str(paths[0]))} and {plain(path.name)} name different classes: "
                    f"{told([*read[0].names.values()])} and {told([*other.names.values()])}; "
                    "delete the wrong one"
                )
        return paths[0], read[0]
    return None, Classes({})


def read_classes(path: Path) -> Classes:
    """What a file says of the classes. Raises UserError if it is none that does."""
    try:
        text = text_of(path)
        if path.name in YAMLS:
            names, keypoints = parse_yaml(text)
        else:
            lines = [line.strip() for line in text.splitlines()]
            names, keypoints = {key: line for key, line in enumerate(lines) if line}, 0
        check_names(names)
    except Broken as error:
        raise UserError(f"{plain(str(path))} {error}") from error
    return Classes(names, keypoints)


def parse_yaml(text: str) -> Classes:
    """What the text of a data.yaml says. Raises Broken."""
    try:
        fields = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Broken(f"is no YAML: {plain(str(error))}") from error
    names = fields.get("names") if isinstance(fields, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise Broken(f"has {told(names)} as names: expected [a, b] or {{0: a, 1: b}}")
    shape = fields.get("kpt_shape") or [0]
    if not isinstance(shape, list) or not all(whole(side) is not None for side in shape):
        raise Broken(f"has {told(shape)} as kpt_shape: expected [points, numbers of each]")
    return Classes(names, math.prod(shape))


def check_names(names: Mapping[Any, Any]) -> None:
    """Raise Broken unless these are different names of classes by their numbers."""
    odd = [key for key in names if type(key) is not int or key < 0]
    odd += [name for name in names.values() if not is_name(name)]
    if odd or not names:
        raise Broken(f"has {told(odd[0] if odd else names)} among its names of classes by number")
    if len({*names.values()}) < len(names):
        raise Broken(f"names two classes alike: {told([*names.values()])}")
