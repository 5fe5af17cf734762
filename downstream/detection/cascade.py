"""A cascade of box heads with one mask head, as ViTDet's (arXiv 2203.16527) and detectron2's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class OneMaskCascadeRoIHead(CascadeRoIHead):
    """mmdet's cascade, changed to what detectron2's `CascadeROIHeads` computes.

    - There is one mask head, trained on the first stage's proposals and asked about the last one's
      boxes; mmdet has one for every stage and averages them.
    - The box heads' gradients reach the maps divided by the number of stages.
    - Annotated boxes that were added to the first stage's proposals go on to the next stages with
      the others; mmdet drops them and adds new ones.
    - A box's score is the mean of the stages' probabilities; mmdet averages before the softmax.

    Equal weights of the stages' losses, and stages that take all boxes, are the config's.
    """

    num_stages: int

    def init_mask_head(self, mask_roi_extractor: Any, mask_head: Any) -> None:
        """Build the one head and its extractor."""
        with self._one_stage():
            super().init_mask_head(mask_roi_extractor, mask_head)

    def bbox_loss(
        self, stage: int, x: tuple[Tensor, ...], sampling_results: list[Any]
    ) -> dict[str, Any]:
        """A stage's losses; no box is marked as annotated afterwards."""
        found: dict[str, Any] = super().bbox_loss(stage, x, sampling_results)
        for result in sampling_results:
            result.pos_is_gt = torch.zeros_like(result.pos_is_gt)
        return found

    def mask_loss(self, stage: int, *args: Any) -> dict[str, Any]:
        """The loss of the first stage; none of the others."""
        found: dict[str, Any] = super().mask_loss(stage, *args) if stage == 0 else {"loss_mask": {}}
        return found

    def predict_mask(self, *args: Any, **options: Any) -> Any:
        """Masks of the boxes found, by the one head."""
        with self._one_stage():
            return super().predict_mask(*args, **options)

    def _bbox_forward(self, stage: int, x: tuple[Tensor, ...], rois: Tensor) -> dict[str, Tensor]:
        shared = tuple(scale_gradient(level, 1 / self.num_stages) for level in x)
        found: dict[str, Tensor] = super()._bbox_forward(stage, shared, rois)
        if not self.training:
            self._probabilities.append(found["cls_score"].softmax(-1))
        return found

    def _refine_roi(
        self,
        x: tuple[Tensor, ...],
        rois: Tensor,
        batch_img_metas: Any,
        num_proposals_per_img: Sequence[int],
    ) -> tuple[Tensor, Sequence[Tensor], Any]:
        self._probabilities: list[Tensor] = []
        rois, _, boxes = super()._refine_roi(x, rois, batch_img_metas, num_proposals_per_img)
        mean = torch.stack(self._probabilities).mean(0)
        # A softmax follows, which undoes the logarithm.
        return rois, mean.log().split(num_proposals_per_img), boxes

    @contextmanager
    def _one_stage(self) -> Iterator[None]:
        stages, self.num_stages = self.num_stages, 1
        try:
            yield
        finally:
            self.num_stages = stages


def scale_gradient(features: Tensor, factor: float) -> Tensor:
    """The features as they are, and `factor` times the gradient that comes back through them."""
    same = features.view_as(features)
    if same.requires_grad:
        same.register_hook(lambda gradient: gradient * factor)
    return same
