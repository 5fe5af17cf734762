"""CVAT's XML for images 1.1: one file with all images of a task or a project."""

import math
from pathlib import Path
from xml.etree.ElementTree import Element

from downstream.dense.convert.found import (
    Annotated,
    Broken,
    Found,
    Object,
    box_of_corners,
    content_of,
    files_of,
    joined,
    label_of,
    number,
    stated_size,
    swapped,
)
from downstream.dense.convert.xml import attribute, parse_xml
from downstream.dense.values import told

SIDES = ("xtl", "ytl", "xbr", "ybr")


def read_cvat(source: Path) -> Found:
    """What a file says, or all files below a folder.

    Raises:
        UserError: if there are none.
    """
    found = Found(lists_images=True)
    folder, names = files_of(source, ".xml")
    declared: list[str] = []
    for name in names:
        with found.noting(name):
            root = parse_xml(content_of(folder / name), "annotations")
            if root.find("track") is not None:
                raise Broken("holds tracks of a video: export 'CVAT for images 1.1' in its place")
            for label in root.iterfind("meta//label"):
                if label.find("parent") is None:  # else it is a part of a skeleton
                    text = (label.findtext("name") or "").strip()
                    declared.append(label_of(text, "<label>"))
            for element in root.iterfind("image"):
                found.annotated.append(read_image(element, name, found))
    found.name_classes(declared)
    return found


def read_image(element: Element, file: str, found: Found) -> Annotated:
    """What the file says of an image; what is left out is counted in `found`. Raises Broken."""
    path = attribute(element, "name", "an <image>")
    parts: list[tuple[Object, str]] = []
    for place, shape in enumerate(element, start=1):
        if shape.tag not in ("box", "polygon"):
            found.left_out[f"<{shape.tag}>"] += 1
            continue
        where = f"{shape.tag} {place}"
        read = read_box if shape.tag == "box" else read_polygon
        label = label_of(shape.get("label"), f"{where} of {told(path)}")
        group = shape.get("group_id", "0")
        parts.append((read(shape, where, label), "" if group == "0" else group))
        found.kept["occluded"] += shape.get("occluded") == "1"
    size = stated_size(element.get("height"), element.get("width"))
    return Annotated(f"{file}: {told(path)}", joined(parts), path.replace("\\", "/"), size=size)


def read_box(shape: Element, where: str, label: str) -> Object:
    """A box; of one that is turned the box around it. Raises Broken if it has no corners."""
    sides = [number(attribute(shape, side, where), f"{side} of {where}") for side in SIDES]
    thing = Object(where, label, box_of_corners(*sides), mended=swapped(*sides))
    degrees = number(shape.get("rotation", "0"), f"rotation of {where}")
    if degrees % 360:
        thing.box = around(sides, math.radians(degrees))
        thing.mended.append(f"turned by {degrees:g}°: the upright box around it was taken")
    return thing


def around(sides: list[float], angle: float) -> list[float]:
    """[left, top, width, height] around a box [x1, y1, x2, y2] that is turned about its middle."""
    x1, y1, x2, y2 = sides
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    wide = abs(x2 - x1) * cos + abs(y2 - y1) * sin
    high = abs(x2 - x1) * sin + abs(y2 - y1) * cos
    return [(x1 + x2 - wide) / 2, (y1 + y2 - high) / 2, wide, high]


def read_polygon(shape: Element, where: str, label: str) -> Object:
    """A polygon, in the file x,y;x,y;... Raises Broken if it is none."""
    part = []
    for point in attribute(shape, "points", where).split(";"):
        pair = point.split(",")
        if len(pair) != 2:
            raise Broken(f"has {told(point)} as a point of {where}: expected x,y")
        part += [number(value, f"a point of {where}") for value in pair]
    return Object(where, label, mask=[part])
