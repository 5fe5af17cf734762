"""Boxes in float32 whatever the rest of the training is in.

bfloat16 tells pixel 1,000 from pixel 1,004 but not from 1,001, and mmcv's operators (NMS, RoIAlign)
do not take it. Layers stay in bfloat16; what leaves the neck and the heads does not.
"""

from typing import Any

import torch
from mmdet.models.detectors import TwoStageDetector
from torch import nn


def keep_boxes_exact(detector: TwoStageDetector) -> None:
    """Let the neck and all heads of an mmdet R-CNN hand on float32."""
    roi = detector.roi_head
    masks = (roi.mask_head,) if roi.with_mask else ()
    for part in (detector.neck, detector.rpn_head, roi.bbox_head, *masks):
        for module in part if isinstance(part, nn.ModuleList) else (part,):
            module.register_forward_hook(lambda _, __, output: in_float32(output))


def in_float32(output: Any) -> Any:
    """The same tensors, or lists or tuples of them, in float32."""
    if isinstance(output, torch.Tensor):
        return output.float()
    return type(output)(in_float32(part) for part in output)
