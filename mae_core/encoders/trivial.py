"""The families 'pixels' and 'rcf': vectors of an image for which nothing was learnt.

A number of a frozen protocol is worth its distance to theirs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mae_core.encoders.base import Encoder, Part, to_pair
from mae_core.encoders.registry import register_encoder
from mae_core.encoders.vit import check_counts
from mae_core.errors import UserError

SIDE = 8  # of the thumbnail
NUMBERS = 1 << 24  # floats that the maps of random filters may take at once


class TrivialEncoder(Encoder):
    """One vector of an image, its only layer; no weights that can be trained, and no maps.

    Args:
        img_size: pixels, one number or (H, W).
        in_chans: channels of the images.
        width: of the vector.

    Raises:
        UserError: if a size is none.
    """

    offers = frozenset()

    def __init__(self, img_size: int | Sequence[int], in_chans: int, width: int) -> None:
        super().__init__()
        self.img_size = to_pair(img_size)
        check_counts({"in_chans": in_chans, "img_size": min(self.img_size)})
        self.config = {"img_size": list(self.img_size), "in_chans": in_chans}
        self.width, self.widths, self.strides = width, (width,), self.img_size[:1]

    def pooled(
        self,
        images: Tensor,
        pool: str = "avg",
        norm_last: bool = False,
        layer: int | None = None,
    ) -> Tensor:
        """The vectors (N, width) of images (N, C, H, W); all poolings are the same."""
        found: Tensor = self(images)
        return found

    def pooled_width(self, pool: str, layer: int | None = None) -> int:
        """Channels of :meth:`pooled`. Raises UserError for a class token, or a second layer."""
        if pool not in ("avg", "own"):
            raise UserError(
                f"pool='{pool}': encoders of the family '{self.family}' have one vector, which "
                "'avg' and 'own' stand for"
            )
        return self.width if layer is None else self.widths[self.checked_layer(layer)]

    def parts(self) -> list[Part]:
        """None: there are no parameters."""
        return []


@register_encoder("pixels", {"pixels": {}})
class Pixels(TrivialEncoder):
    """What the pixels of an image are like, and a thumbnail.

    Args:
        img_size: pixels, one number or (H, W).
        in_chans: channels of the images.
    """

    def __init__(self, img_size: int | Sequence[int] = 224, in_chans: int = 3) -> None:
        super().__init__(img_size, in_chans, in_chans * (4 + SIDE * SIDE))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) float, normalised, to (N, 4 C + 64 C).

        Mean, deviation (of all pixels, not a sample), least and largest of each channel; then the
        means of 8×8 areas, channel by channel, row by row. Areas share pixels where 8 does not
        divide a side.
        """
        flat = images.flatten(2)
        std, mean = torch.std_mean(flat, dim=2, correction=0)
        thumbnail = F.adaptive_avg_pool2d(images, SIDE).flatten(1)
        return torch.cat([mean, std, flat.amin(dim=2), flat.amax(dim=2), thumbnail], dim=1)


@register_encoder("rcf", {"rcf": {}})
class RandomFeatures(TrivialEncoder):
    """Random convolutional features: filters, rectified on both sides, their means over the image.

    MOSAIKS (Rolf et al. 2021, Nature Communications 12:4392), with its filters of 3×3 pixels, its
    two sides max(0, conv - 1) and max(0, -conv - 1) and its mean over the image; but with Gaussian
    filters of deviation 1, which need no images, where the paper draws and whitens patches of the
    data (its code offers both), and fewer of them (the paper: 8192 features). torchgeo's `RCF` is
    alike in its mode 'gaussian', but for its second side, max(0, -conv + 1), and 16 features.

    The filters are drawn from torch's generator: the seed of the run decides, as for 'random'.

    Args:
        img_size: pixels, one number or (H, W).
        in_chans: channels of the images.
        filters: how many; twice as many features.
        kernel_size: side of a filter in pixels.
        bias: added before each rectification.

    Raises:
        UserError: if a number is none, or a filter is larger than the images.
    """

    weight: Tensor

    def __init__(
        self,
        img_size: int | Sequence[int] = 224,
        in_chans: int = 3,
        filters: int = 256,
        kernel_size: int = 3,
        bias: float = -1.0,
    ) -> None:
        check_counts({"filters": filters, "kernel_size": kernel_size})
        if isinstance(bias, bool) or not isinstance(bias, int | float):
            raise UserError(f"bias={bias!r}: expected a number")
        super().__init__(img_size, in_chans, 2 * filters)
        if kernel_size > min(self.img_size):
            raise UserError(
                f"kernel_size={kernel_size}: expected at most the side of the images, "
                f"{min(self.img_size)} pixels"
            )
        self.config |= {"filters": filters, "kernel_size": kernel_size, "bias": bias}
        self.bias = bias
        self.register_buffer("weight", torch.randn(filters, in_chans, kernel_size, kernel_size))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) float, normalised, to (N, 2 * filters): all of one side first."""
        maps = len(self.weight) * images.shape[-2] * images.shape[-1]
        parts = []
        for some in images.split(max(NUMBERS // maps, 1)):
            found = F.conv2d(some, self.weight)
            sides = [(side + self.bias).relu().mean(dim=(2, 3)) for side in (found, -found)]
            parts.append(torch.cat(sides, dim=1))
        return torch.cat(parts)
