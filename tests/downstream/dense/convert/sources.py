"""Annotations in each format, written plainly from the content of a COCO file, and images."""

import json
import os
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import yaml
from PIL import Image

from downstream.dense.convert.convert import Converted, Job, convert

Json = dict[str, Any]
IMAGES = {"a.png": (30, 40), "b.jpg": (20, 24), "sub/c.png": (64, 16)}  # height, width


def write_images(folder: Path) -> Path:
    for name, (height, width) in IMAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), (9, 90, 200)).save(folder / name)
    return folder


def by_image(content: Json) -> list[tuple[Json, list[tuple[str, Json]]]]:
    """Each image with its annotations, and their class."""
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    return [
        (
            image,
            [
                (names[entry["category_id"]], entry)
                for entry in content["annotations"]
                if entry["image_id"] == image["id"]
            ],
        )
        for image in content["images"]
    ]


def place(folder: Path, image: str, suffix: str) -> Path:
    path = folder / (os.path.splitext(image)[0] + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_voc(content: Json, source: Path) -> None:
    for image, objects in by_image(content):
        lines = [f"<annotation><filename>{os.path.basename(image['file_name'])}</filename>"]
        lines.append(f"<size><width>{image['width']}</width><height>{image['height']}</height>")
        lines.append("<depth>3</depth></size>")
        for label, entry in objects:
            left, top, wide, high = entry["bbox"]
            lines.append(f"<object><name>{escape(label)}</name><difficult>0</difficult><bndbox>")
            lines.append(f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>")
            lines.append(f"<xmax>{left + wide}</xmax><ymax>{top + high}</ymax></bndbox></object>")
        text = "\n".join([*lines, "</annotation>"])
        place(source, image["file_name"], ".xml").write_text(text, encoding="utf-8")


def write_yolo(content: Json, source: Path) -> None:
    for image, objects in by_image(content):
        lines = []
        for _, entry in objects:
            if "segmentation" in entry:
                (points,) = entry["segmentation"]
            else:
                left, top, wide, high = entry["bbox"]
                points = [left + wide / 2, top + high / 2, wide, high]
            sides = (image["width"], image["height"])
            shares = [value / sides[axis % 2] for axis, value in enumerate(points)]
            lines.append(" ".join(map(repr, [entry["category_id"] - 1, *shares])))
        place(source, image["file_name"], ".txt").write_text("\n".join(lines))
    names = [entry["name"] for entry in content["categories"]]
    (source / "data.yaml").write_text(yaml.safe_dump({"nc": len(names), "names": names}))


def write_labelme(content: Json, source: Path) -> None:
    for image, objects in by_image(content):
        shapes = []
        for group, (label, entry) in enumerate(objects):
            for part in entry.get("segmentation", []):
                points = [part[i : i + 2] for i in range(0, len(part), 2)]
                about = {"label": label, "shape_type": "polygon", "group_id": group}
                shapes.append({**about, "points": points})
            if "segmentation" not in entry:
                left, top, wide, high = entry["bbox"]
                corners = [[left + wide, top], [left, top + high]]
                shapes.append({"label": label, "shape_type": "rectangle", "points": corners})
        fields = {"imagePath": os.path.basename(image["file_name"]), "shapes": shapes}
        fields |= {"imageHeight": image["height"], "imageWidth": image["width"]}
        place(source, image["file_name"], ".json").write_text(json.dumps(fields))


def write_cvat(content: Json, source: Path) -> None:
    lines = ["<annotations><version>1.1</version><meta><task><labels>"]
    for entry in content["categories"]:
        lines.append(f"<label><name>{escape(entry['name'])}</name><type>any</type></label>")
    lines.append("</labels></task></meta>")
    for image, objects in by_image(content):
        size = f'width="{image["width"]}" height="{image["height"]}"'
        lines.append(f'<image id="0" name={quoteattr(image["file_name"])} {size}>')
        for group, (label, entry) in enumerate(objects, start=1):
            for part in entry.get("segmentation", []):
                points = ";".join(f"{part[i]!r},{part[i + 1]!r}" for i in range(0, len(part), 2))
                about = f'label={quoteattr(label)} group_id="{group}" occluded="0"'
                lines.append(f'<polygon {about} points="{points}"></polygon>')
            if "segmentation" not in entry:
                left, top, wide, high = entry["bbox"]
                sides = f'xtl="{left!r}" ytl="{top!r}" xbr="{left + wide!r}" ybr="{top + high!r}"'
                lines.append(f'<box label={quoteattr(label)} {sides} occluded="0"></box>')
        lines.append("</image>")
    source.mkdir(parents=True, exist_ok=True)
    text = "\n".join([*lines, "</annotations>"])
    (source / "annotations.xml").write_text(text, encoding="utf-8")


def write_coco(content: Json, source: Path) -> None:
    source.mkdir(parents=True, exist_ok=True)
    (source / "instances.json").write_text(json.dumps(content))


WRITERS = {
    "voc": write_voc,
    "yolo": write_yolo,
    "labelme": write_labelme,
    "cvat": write_cvat,
    "coco": write_coco,
}


def converted(kind: str, source: Path, images: Path, out: Path, **options: Any) -> Converted:
    """The conversion of what a writer has written; COCO's is a file."""
    path = source / "instances.json" if kind == "coco" else source
    return convert(Job(path, kind, images, **options), out)


def content_of(boxes: list[tuple[str, str, list[float]]]) -> Json:
    """A COCO content of (image, class, box)."""
    names = sorted({label for _, label, _ in boxes})
    keys = {name: key for key, name in enumerate(IMAGES, start=1)}
    annotations = [
        {
            "id": place,
            "image_id": keys[image],
            "category_id": names.index(label) + 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for place, (image, label, box) in enumerate(boxes, start=1)
    ]
    images = [
        {"id": keys[name], "file_name": name, "height": size[0], "width": size[1]}
        for name, size in IMAGES.items()
    ]
    categories = [{"id": place, "name": name} for place, name in enumerate(names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


SOUND = content_of([("a.png", "cat", [2, 3, 10, 12]), ("sub/c.png", "dog", [0, 0, 16, 64])])
