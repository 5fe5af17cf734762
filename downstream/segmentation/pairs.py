"""Images with a mask each, as an mm data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmseg.registry import TRANSFORMS


class PairedImages(BaseDataset):
    """(image, mask) pairs.

    Args:
        pairs: of paths.
        pipeline: mmseg's transforms for each.
    """

    def __init__(
        self, pairs: Sequence[tuple[Path, Path]], pipeline: Sequence[dict[str, Any]]
    ) -> None:
        self.pairs = pairs
        super().__init__(pipeline=[TRANSFORMS.build(step) for step in pipeline])

    def load_data_list(self) -> list[dict[str, Any]]:
        """What the pipeline begins with, for each pair."""
        return [
            {"img_path": str(image), "seg_map_path": str(mask), "seg_fields": []}
            | {"label_map": None, "reduce_zero_label": False}
            for image, mask in self.pairs
        ]
