"""Segment any images with a trained segmentor."""

from collections.abc import Sequence
from pathlib import Path

import mmseg.models  # noqa: F401  registers mmseg's models
import numpy as np
import torch
from mmcv.transforms import Compose
from mmseg.registry import TRANSFORMS
from PIL import Image

import downstream.dense.backbone
import downstream.dense.pyramid  # noqa: F401  both register
from downstream.dense.stored import blaming
from downstream.dense.trained import check_images, load_trained, own_names
from downstream.overlay import figure_grid, read_image, save
from downstream.segmentation.overlay import find, name_colours, tint
from downstream.segmentation.pipeline import evaluation_pipeline


@torch.inference_mode()
def predict(checkpoint: Path, images: Sequence[Path], out: Path) -> list[Path]:
    """Write a picture and a mask for each image; the files.

    Args:
        checkpoint: a `segmentor.safetensors`.
        images: files.
        out: folder for `<name>.png`, and `<name>_mask.png`, which holds labels from 0.

    Raises:
        UserError: if the checkpoint is no segmentor's, or an image is missing or cannot be read.
    """
    check_images(images)
    model, config, classes = load_trained(checkpoint, "segment")
    steps = evaluation_pipeline([0] * 256, config.image.scale)
    pipeline = Compose([TRANSFORMS.build(s) for s in steps if s["type"] != "LoadMask"])
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for path, name in zip(images, own_names(images), strict=True):
        image = read_image(path)
        with blaming(checkpoint):
            labels = find(model, pipeline({"img_path": str(path)}))
        mask, picture = out / f"{name}_mask.png", out / f"{name}.png"
        Image.fromarray(labels.astype(np.uint8)).save(mask)
        figure, axes = figure_grid([""], 1, cell=6)
        axes[0, 0].imshow(tint(image, labels, classes), interpolation="nearest")
        name_colours(figure, classes, set(np.unique(labels)))
        save(figure, picture)
        files += [picture, mask]
    return files
