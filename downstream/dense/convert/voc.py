"""Pascal VOC: an XML for each image, with boxes from the first pixel to the last, from 1 on."""

import os
from pathlib import Path
from xml.etree.ElementTree import Element

from downstream.dense.convert.found import (
    Annotated,
    Found,
    Object,
    box_of_corners,
    content_of,
    files_of,
    in_folder,
    label_of,
    number,
    stated_size,
    swapped,
)
from downstream.dense.convert.xml import parse_xml, text_in

SIDES = ("xmin", "ymin", "xmax", "ymax")
NO_BOXES = ("part", "polygon", "robndbox")  # of an object, beside its box
MARKS = ("truncated", "occluded")


def read_voc(source: Path, zero_based: bool) -> Found:
    """All annotations below a folder, or those of one file.

    Args:
        source: of the XML.
        zero_based: whether numbers are the edges of boxes, counted from 0, not pixels from 1.

    Raises:
        UserError: if there are none.
    """
    found = Found()
    folder, names = files_of(source, ".xml")
    for name in names:
        with found.noting(name):
            root = parse_xml(content_of(folder / name), "annotation")
            found.annotated.append(read_image(root, name, zero_based, found))
    found.name_classes()
    corners = [thing.box[:2] for part in found.annotated for thing in part.objects if thing.box]
    at_zero = sum(min(corner) < 0 for corner in corners)
    if at_zero and not zero_based:
        found.notes.append(
            f"{at_zero:,} box(es) begin before pixel 1, from which VOC counts: if all were written "
            "by a tool that counts from 0, such as labelImg, convert with --zero-based"
        )
    return found


def read_image(root: Element, name: str, zero_based: bool, found: Found) -> Annotated:
    """What the file `name` says; what is left out is counted in `found`.

    Raises:
        Broken: if it is none of VOC's.
    """
    objects = []
    for place, element in enumerate(root.findall("object"), start=1):
        for kind in NO_BOXES:
            found.left_out[f"<{kind}>"] += len(element.findall(kind))
        if element.find("robndbox") is not None and element.find("bndbox") is None:
            continue  # of roLabelImg, counted above
        objects.append(read_object(element, f"object {place}", zero_based))
        found.kept["difficult"] += objects[-1].crowd
        for mark in MARKS:
            found.kept[mark] += is_set(element, mark)
    path = (root.findtext("filename") or "").strip()
    return Annotated(
        name,
        objects,
        path=in_folder(os.path.dirname(name), path),
        stem=os.path.splitext(name)[0],
        size=stated_size(root.findtext("size/height"), root.findtext("size/width")),
    )


def read_object(element: Element, where: str, zero_based: bool) -> Object:
    """One object. Raises Broken if it has no class or no box."""
    label = label_of(text_in(element, "name", where), where)
    sides = [
        number(text_in(element, f"bndbox/{side}", where), f"{side} of {where}") for side in SIDES
    ]
    left, top, wide, high = box_of_corners(*sides)
    box = [left, top, wide, high] if zero_based else [left - 1, top - 1, wide + 1, high + 1]
    # VOC's own evaluation passes over what is difficult, as COCO's does over crowds.
    crowd = is_set(element, "difficult")
    return Object(where, label, box, crowd=crowd, mended=swapped(*sides))


def is_set(element: Element, mark: str) -> bool:
    """Whether an object has a mark such as 'difficult'."""
    return (element.findtext(mark) or "").strip() == "1"
