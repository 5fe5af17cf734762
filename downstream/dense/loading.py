"""An image as mm's pipelines begin with it, opened as everywhere else."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from mae_core.data.decode import open_file


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Read the file at `img_path`, in place of mmcv's `LoadImageFromFile`.

    That one has rules of its own for EXIF's orientation, for 16 bits and for damaged files.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add `img` (H, W, 3) uint8, BGR as mm's models expect it, and its shape.

        Raises:
            Unreadable: if it is no image.
        """
        pixels = open_file(results["img_path"]).pixels()
        size = pixels.shape[:2]
        image = np.ascontiguousarray(pixels[..., ::-1])
        return {**results, "img": image, "img_shape": size, "ori_shape": size}
