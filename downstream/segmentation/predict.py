"""Segment any images with a trained segmentor."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from downstream.dense.task import predictions
from downstream.segmentation.stage import TASK
from mae_core.files import replacing


def predict(checkpoint: Path, images: Sequence[Path], out: Path) -> list[Path]:
    """Write a picture and a mask for each image; the files.

    Args:
        checkpoint: a `segmentor.safetensors`.
        images: files.
        out: folder for `<name>.png`, and `<name>_mask.png`, which holds labels from 0.

    Raises:
        UserError: if the checkpoint is no segmentor's, or an image is missing or cannot be read.
    """
    files = []
    for one in predictions(TASK, checkpoint, images, out):
        mask = out / f"{one.picture.stem}_mask.png"
        with replacing(mask) as part:
            Image.fromarray(one.found.astype(np.uint8)).save(part, format="PNG")
        files += [one.picture, mask]
    return files
