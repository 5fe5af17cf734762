"""A cascade of box heads with one mask head, as ViTDet's (arXiv 2203.16527) and detectron2's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.registry import MODELS


@MODELS.register_module()
class OneMaskCascadeRoIHead(CascadeRoIHead):
    """mmdet's cascade has a mask head for every stage and averages them.

    Here there is one, trained on the first stage's proposals and asked about the last one's boxes.
    """

    def init_mask_head(self, mask_roi_extractor: Any, mask_head: Any) -> None:
        """Build the one head and its extractor."""
        with self._one_stage():
            super().init_mask_head(mask_roi_extractor, mask_head)

    def mask_loss(self, stage: int, *args: Any) -> dict[str, Any]:
        """The loss of the first stage; none of the others."""
        found: dict[str, Any] = super().mask_loss(stage, *args) if stage == 0 else {"loss_mask": {}}
        return found

    def predict_mask(self, *args: Any, **options: Any) -> Any:
        """Masks of the boxes found, by the one head."""
        with self._one_stage():
            return super().predict_mask(*args, **options)

    @contextmanager
    def _one_stage(self) -> Iterator[None]:
        stages, self.num_stages = self.num_stages, 1
        try:
            yield
        finally:
            self.num_stages = stages
