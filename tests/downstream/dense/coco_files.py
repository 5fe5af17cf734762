"""COCO files for tests: sound ones of every kind of mask, and broken ones."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as runs

HEIGHT, WIDTH = 20, 24
Json = dict[str, Any]
ODD: list[Any] = [
    *(None, True, False, 0, -1, 3, 10**6, 2**31, 2**63, 10**400, 0.5, 1e9, 1e300),
    *(float("nan"), float("inf"), float("-inf"), "", "a", "\ud800", "\0", "../a.png", "[/]"),
    *([], {}, [[]], [None], [1, 2, 3, 4, 5, 6], [[0, 0, 1e9, 0, 1e9, 1e9]], {"counts": "0"}),
    *([[5, 5, 5, 5, 5, 5]], [0, 0, 0, 0], {"size": [10**9, 10**9], "counts": [10**18]}),
    *({"size": [HEIGHT, WIDTH]}, {"size": [HEIGHT, WIDTH], "counts": "ooooooo"}),
]


def square(left: int, top: int, side: int) -> np.ndarray:
    """A mask (HEIGHT, WIDTH) uint8."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def sound_content() -> Json:
    """Three images, two categories, and a polygon, runs, compressed runs and a crowd."""
    packed = runs.encode(np.asfortranarray(square(2, 2, 6)))
    counts = [int(HEIGHT * 8 + 4), 8, HEIGHT * WIDTH - HEIGHT * 8 - 12]
    masks: list[tuple[Any, list[int]]] = [
        ([[1, 1, 9, 1, 9, 9, 1, 9]], [1, 1, 8, 8]),
        ({"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()}, [2, 2, 6, 6]),
        ([[3, 3, 8, 3, 8, 8], [10, 10, 18, 10, 18, 18, 10, 18]], [3, 3, 15, 15]),
        ({"size": [HEIGHT, WIDTH], "counts": counts}, [8, 4, 1, 8]),
    ]
    annotations = []
    for place, (mask, box) in enumerate(masks):
        about = {"id": place, "image_id": 5 - place % 2, "category_id": 2 - place % 2}
        crowd = {"iscrowd": int(place == 3), "bbox": box, "area": box[2] * box[3]}
        annotations.append({**about, **crowd, "segmentation": mask})
    size = {"height": HEIGHT, "width": WIDTH}
    return {
        "info": {"year": 2026},
        "images": [{"id": key, "file_name": f"{key}.png", **size} for key in (5, 4, 0)],
        "annotations": annotations,
        "categories": [{"id": 2, "name": "two"}, {"id": 1, "name": "one"}],
    }


def write_images(folder: Path) -> None:
    """The images that the content names."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for key in (0, 4, 5):
        pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{key}.png")


def places(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a JSON."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    found = []
    for key in keys:
        found.append((node, key))
        if isinstance(node[key], dict | list):
            found += places(node[key])
    return found


@st.composite
def broken_files(draw: st.DrawFn) -> str:
    """The text of a file in which one to three values are missing or are others."""
    content = sound_content()
    for _ in range(draw(st.integers(1, 3))):
        spots = places(content)
        if not spots:
            break
        node, key = spots[draw(st.integers(0, len(spots) - 1))]
        odd = draw(st.sampled_from(["delete", "copy", *ODD]))
        if odd == "delete":
            del node[key]
        elif odd == "copy":  # such as an entry in the place of a number, or twice
            node[key] = copy.deepcopy(draw(st.sampled_from(spots))[0])
        else:
            node[key] = copy.deepcopy(odd)
    return json.dumps(content)
