"""mmcv's operators from torchvision, where mmcv has none of its own.

All compiled code of mmcv enters through one module, `mmcv._ext`. A mmcv installed without it, which
takes no compiler, gets a module of that name whose NMS and RoIAlign are torchvision's: these are
what mmdet's R-CNNs use, and torchvision's wheels hold them for CPUs and for GPUs. Every other
operator is there by name, as mmcv asks for it when it is imported, and refuses to be called.
"""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

EXTENSION = "mmcv._ext"


def register() -> None:
    """Let `mmcv.ops` find operators; a compiled mmcv keeps its own."""
    if EXTENSION not in sys.modules and not is_compiled():
        extension = TorchvisionOperators(EXTENSION)
        extension.__spec__ = ModuleSpec(EXTENSION, None)  # for importlib.util.find_spec
        sys.modules[EXTENSION] = extension


def is_compiled() -> bool:
    """Whether the installed mmcv has operators of its own. Does not import it."""
    spec = find_spec("mmcv")
    folders = spec.submodule_search_locations if spec else None
    return any(any(Path(folder).glob("_ext*")) for folder in folders or ())


class TorchvisionOperators(ModuleType):
    """Stands in for `mmcv._ext`; arguments are those that `mmcv.ops` passes."""

    @staticmethod
    def nms(bboxes: "Tensor", scores: "Tensor", iou_threshold: float, offset: int) -> "Tensor":
        """Indices (M,) int64 of the boxes to keep, the highest score first.

        Args:
            bboxes: (N, 4) float, as x1, y1, x2, y2.
            scores: (N,) float.
            iou_threshold: in 0 to 1; a box that overlaps a better one by more is dropped.
            offset: 0, or 1 where a box includes its last pixel and is x2 - x1 + 1 wide.
        """
        from torchvision.ops import nms

        last = bboxes.new_tensor([0, 0, offset, offset])
        return nms(bboxes + last, scores, iou_threshold)

    @staticmethod
    def roi_align_forward(
        input: "Tensor",
        rois: "Tensor",
        output: "Tensor",
        argmax_y: "Tensor",
        argmax_x: "Tensor",
        pool_mode: int,
        **sampling: Any,
    ) -> None:
        """Fill `output` with the means of samples in the boxes (Mask R-CNN, arXiv 1703.06870).

        Args:
            input: (N, C, H, W) float.
            rois: (K, 5) float, as the image's index and x1, y1, x2, y2.
            output: (K, C, aligned_height, aligned_width), of `input`'s type.
            argmax_y, argmax_x: unused, as only maxima need them.
            pool_mode: 1, for means.
            **sampling: see :func:`sampled`.

        Raises:
            NotImplementedError: for `pool_mode` 0, the maximum.
        """
        from torchvision.ops import roi_align

        if pool_mode != 1:
            raise not_there("roi_align of maxima")
        scale, height, width, ratio, aligned = sampled(**sampling)
        output.copy_(roi_align(input, rois, (height, width), scale, ratio, aligned))

    @staticmethod
    def roi_align_backward(
        grad_output: "Tensor",
        rois: "Tensor",
        argmax_y: "Tensor",
        argmax_x: "Tensor",
        grad_input: "Tensor",
        pool_mode: int,
        **sampling: Any,
    ) -> None:
        """Fill `grad_input` (N, C, H, W) from `grad_output`; see :meth:`roi_align_forward`."""
        import torch
        import torchvision  # noqa: F401  its operators, of which the backward one has no function

        scale, height, width, ratio, aligned = sampled(**sampling)
        backward = torch.ops.torchvision._roi_align_backward
        images = grad_input.shape
        grad_input.copy_(backward(grad_output, rois, scale, height, width, *images, ratio, aligned))

    def __getattr__(self, name: str) -> Callable[..., None]:
        """An operator that refuses to be called, for every name that could be an operator's."""
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise not_there(name)

        return refuse


def sampled(
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> tuple[float, int, int, int, bool]:
    """What is sampled in a box, in torchvision's order.

    Args:
        aligned_height, aligned_width: of the output.
        spatial_scale: of the boxes' coordinates, such as 1/16 for a map of stride 16.
        sampling_ratio: samples along each side of an output's cell; 0 for one a pixel.
        aligned: whether pixels' centres lie at halves.
    """
    return spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned


def not_there(name: str) -> NotImplementedError:
    """The error of an operator that torchvision does not have."""
    return NotImplementedError(
        f"mmcv's operator '{name}' is not there: mmcv is installed without its C++. Only NMS and "
        "RoIAlign work, by torchvision. For others, compile onedl-mmcv for this torch"
    )
