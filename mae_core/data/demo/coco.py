"""Scenes as a COCO annotation file."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mae_core.data.demo.garments import LICENCE
from mae_core.data.demo.scenes import Instance, Scene

Json = dict[str, Any]


def coco_file(scenes: Mapping[str, Scene], classes: Sequence[str], source: str) -> Json:
    """Scenes by file name -> the content of a COCO instances file.

    Category ids are 1 to len(classes), in the order of `classes`. Boxes `[x, y, w, h]`, areas
    and run-length masks cover the visible part. `source_split` (= `source`) and `source_index`
    tell which photo an instance was made from.
    """
    images: list[Json] = []
    annotations: list[Json] = []
    for image_id, (name, scene) in enumerate(scenes.items(), start=1):
        height, width = scene.image.shape
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for instance in scene.instances:
            head = {"id": len(annotations) + 1, "image_id": image_id}
            annotations.append(head | _annotation(instance) | {"source_split": source})
    return {
        "info": {"description": "Fashion-MNIST garments in composed scenes", "version": "1"},
        "licenses": [{"id": 1, "name": LICENCE}],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes, start=1)],
    }


def run_lengths(mask: NDArray[np.bool_]) -> Json:
    """COCO's uncompressed RLE of a mask (H, W): runs column by column, zeros first."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False, append=~flat[-1:]))
    return {"size": list(mask.shape), "counts": np.diff(changes, prepend=0).tolist()}


def _annotation(instance: Instance) -> Json:
    y, x = np.nonzero(instance.mask)
    left, top = int(x.min()), int(y.min())
    return {
        "category_id": instance.label + 1,
        "bbox": [left, top, int(x.max()) - left + 1, int(y.max()) - top + 1],
        "area": len(x),
        "iscrowd": 0,
        "segmentation": run_lengths(instance.mask),
        "source_index": instance.index,
    }
