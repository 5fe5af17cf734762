"""LabelMe: a JSON for each image, with polygons and rectangles among its shapes."""

import json
import os
from pathlib import Path
from typing import Any

from downstream.dense.convert.found import (
    Annotated,
    Broken,
    Found,
    Object,
    box_of_corners,
    content_of,
    files_of,
    in_folder,
    joined,
    label_of,
    number,
    stated_size,
)
from downstream.dense.values import plain, told


def read_labelme(source: Path) -> Found:
    """All annotations below a folder, or those of one file.

    Raises:
        UserError: if there are none.
    """
    found = Found()
    folder, names = files_of(source, ".json")
    for name in names:
        with found.noting(name):
            content = parse_json(content_of(folder / name))
            found.annotated.append(read_image(content, name, found))
    found.name_classes()
    return found


def parse_json(content: bytes) -> dict[str, Any]:
    """LabelMe's fields. Raises Broken if it is none of its files."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Broken(f"is no JSON: {plain(str(error))}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("shapes"), list):
        raise Broken("has no list 'shapes': expected a JSON of LabelMe")
    return fields


def read_image(fields: dict[str, Any], name: str, found: Found) -> Annotated:
    """What the file `name` says; what is left out is counted in `found`. Raises Broken."""
    parts: list[tuple[Object, str]] = []
    for place, shape in enumerate(fields["shapes"], start=1):
        where = f"shape {place}"
        if not isinstance(shape, dict):
            raise Broken(f"has {told(shape)} as {where}: expected fields")
        kind = shape.get("shape_type") or "polygon"  # old files have no other
        if kind not in ("polygon", "rectangle"):
            found.left_out[plain(str(kind))] += 1
            continue
        label = label_of(shape.get("label"), where)
        points = points_of(shape.get("points"), where)
        read = read_rectangle if kind == "rectangle" else read_polygon
        group = shape.get("group_id")
        parts.append((read(points, where, label), "" if group is None else told(group)))
    path = fields.get("imagePath") or ""
    if not isinstance(path, str):
        raise Broken(f"has {told(path)} as imagePath: expected a path")
    return Annotated(
        name,
        joined(parts),
        path=in_folder(os.path.dirname(name), path),
        stem=os.path.splitext(name)[0],
        size=stated_size(fields.get("imageHeight"), fields.get("imageWidth")),
    )


def points_of(points: Any, where: str) -> list[tuple[float, float]]:
    """The points x, y of a shape. Raises Broken if there are none."""
    if not isinstance(points, list) or not points:
        raise Broken(f"has {told(points)} as points of {where}: expected [[x, y], ...]")
    found = []
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            raise Broken(f"has {told(point)} as a point of {where}: expected [x, y]")
        x, y = (number(value, f"a point of {where}") for value in point)
        found.append((x, y))
    return found


def read_rectangle(points: list[tuple[float, float]], where: str, label: str) -> Object:
    """A box, from two opposite corners in any order, or from all four. Raises Broken."""
    across, down = (sorted(values) for values in zip(*points, strict=True))
    upright = all(x in (across[0], across[-1]) for x in across)
    upright &= all(y in (down[0], down[-1]) for y in down)
    if len(points) not in (2, 4) or not upright:
        raise Broken(
            f"has {told(points)} as corners of {where}: expected two, or four upright ones"
        )
    return Object(where, label, box_of_corners(across[0], down[0], across[-1], down[-1]))


def read_polygon(points: list[tuple[float, float]], where: str, label: str) -> Object:
    """A polygon."""
    return Object(where, label, mask=[[value for point in points for value in point]])
