"""SimMIM (Xie et al. 2021, arXiv 2111.09886): masked pixels are filled, and predicted linearly.

The encoder looks at whole images, so that every family does which has feature maps.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mae_core.data.normalize import Normalize
from mae_core.encoders.base import Encoder
from mae_core.encoders.timm_build import FAULTS, first_line
from mae_core.errors import UserError, suggest
from mae_core.masking import STRATEGIES, mask_patches, visible_patches
from mae_core.methods.masked_pixels import (
    MaskedPixels,
    from_target,
    labelled,
    pasted,
    to_target,
)
from mae_core.methods.registry import register_method
from mae_core.patches import gather_patches, patchify

FILLS = ("learned", "mean")
ACROSS = 4  # masks that the shorter side has at least, where nobody says how large they are


class SimMIMOutput(NamedTuple):
    """Result of one pretraining step.

    Attributes:
        loss: () float32, mean absolute difference over the masked pixels.
        pred: (N, C, H, W), every pixel's prediction, in target units.
        mask: (N, H / mask_size * W / mask_size) float32, 1 where masked.
    """

    loss: Tensor
    pred: Tensor
    mask: Tensor


class Head(nn.Module):
    """What stands in for masked pixels, and a linear layer from places to their pixels (3.3)."""

    def __init__(self, width: int, stride: int, in_chans: int, fill: str) -> None:
        super().__init__()
        self.fill = nn.Parameter(torch.zeros(in_chans), requires_grad=fill == "learned")
        self.predict = nn.Conv2d(width, in_chans * stride**2, kernel_size=1)
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        """(N, width, h, w) -> (N, C, h * stride, w * stride)."""
        return F.pixel_shuffle(self.predict(features), self.stride)


@register_method("simmim")
class SimMIM(MaskedPixels):
    """A fill in place of masked pixels, the encoder on all of the image, L1 on what was masked.

    What is masked is replaced before the encoder, whatever its family: there is no mask token
    behind the embedding, as the paper has it for ViT and Swin.

    Args:
        encoder: the encoder to pretrain, one that has feature maps and weights to train.
        mask_ratio: share of masked squares, above 0 to 0.95 (paper, 4.1.2: 0.6).
        mask_size: side of a masked square in pixels, which divides the image's sides (paper: 32).
            Without it the last stride, halved until the shorter side has four of them.
        masking: 'random', 'block' or 'grid', as the method mae has them.
        fill: 'learned', a value for each channel that begins as the mean; or 'mean', which stays.
        norm_pix_loss: predict pixels normalised by the mean and deviation of each masked square, in
            place of the pixels themselves (paper, 3.4).

    Attributes:
        grid: squares down and across.

    Raises:
        UserError: if a value is out of range or sizes do not fit together.
    """

    def __init__(
        self,
        encoder: Encoder,
        mask_ratio: float = 0.6,
        mask_size: int | None = None,
        masking: str = "random",
        fill: str = "learned",
        norm_pix_loss: bool = False,
    ) -> None:
        super().__init__()
        for offer in ("trained", "maps"):
            encoder.require(offer, "the method simmim")
        for name, value, known in (("masking", masking, STRATEGIES), ("fill", fill, FILLS)):
            if not isinstance(value, str) or value not in known:
                raise UserError(f"no {name} is called '{value}'{suggest(str(value), known)}")
        size = square_of(encoder, mask_size)
        height, width = encoder.img_size
        self.grid = height // size, width // size
        check_ratio(mask_ratio, self.grid, size)
        check_map(encoder)
        self.encoder = encoder
        self.head = Head(encoder.widths[-1], encoder.strides[-1], encoder.config["in_chans"], fill)
        self.mask_ratio, self.masking = mask_ratio, masking
        self.mask_size = self.square = size
        self.norm_pix_loss = norm_pix_loss
        self.config: dict[str, Any] = {
            "mask_ratio": mask_ratio,
            "mask_size": size,
            "masking": masking,
            "fill": fill,
            "norm_pix_loss": norm_pix_loss,
        }

    def forward(self, images: Tensor, noise: Tensor) -> SimMIMOutput:
        """One step on images (N, C, H, W) float; sides are multiples of squares and strides.

        `noise` (N, L) in [0, 1), one draw a square, decides what is masked, as in
        :func:`mae_core.masking.mask_patches`.
        """
        grid = self.grid_of(images)
        _, hidden, mask = mask_patches(noise, grid, self.mask_ratio, self.masking)
        fill = self.head.fill.to(images.dtype)[:, None, None]
        seen = torch.where(self.of_pixels(mask, grid), fill, images)
        pred = self.head(self.encoder.last_map(seen))
        target = gather_patches(patchify(images.detach(), self.mask_size), hidden)
        found = gather_patches(patchify(pred.float(), self.mask_size), hidden)
        loss = F.l1_loss(found, to_target(target, self.norm_pix_loss))
        return SimMIMOutput(loss, pred, mask)

    def of_pixels(self, mask: Tensor, grid: tuple[int, int]) -> Tensor:
        """(N, L) of a grid of squares -> (N, 1, H, W) bool of pixels."""
        squares = mask.bool().unflatten(1, grid).unsqueeze(1)
        rows = squares.repeat_interleave(self.mask_size, dim=2)
        return rows.repeat_interleave(self.mask_size, dim=3)

    @torch.no_grad()
    def picture(self, pixels: Tensor, normalize: Normalize, seed: int = 0) -> dict[str, Tensor]:
        """The images, what is left of them, predictions of all pixels, and those of masked ones.

        Normalised predictions take each square's true mean and deviation, as those of mae do.

        Args:
            pixels: (N, C, H, W) uint8 or float32.
            normalize: to what the encoder sees, and back.
            seed: of the masks.
        """
        self.eval()
        device = self.head.fill.device
        images = normalize.images(pixels.to(device))
        noise = self.picture_noise(len(images), seed)
        out = SimMIM.forward(self, images, noise.to(device))  # a compiled one would be anew
        squares = patchify(out.pred, self.mask_size)
        pred = from_target(squares, images, self.mask_size, self.norm_pix_loss)
        predicted, pixels = normalize.restore(pred, pixels.dtype).cpu(), pixels.cpu()
        parts = pasted(pixels, predicted, out.mask.cpu(), self.mask_size)
        return {"original": pixels, **labelled(parts, self.mask_ratio)}


def square_of(encoder: Encoder, mask_size: int | None) -> int:
    """The side of a masked square. Raises UserError unless it divides the encoder's images."""
    sides, size = encoder.img_size, mask_size
    if size is None:
        size = encoder.strides[-1]
        while size % 2 == 0 and min(sides) < ACROSS * size:
            size //= 2
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise UserError(f"mask_size={size!r}: expected a whole number of pixels, or None")
    if any(side % size for side in sides):
        fitting = [one for one in range(2, min(sides)) if not any(side % one for side in sides)]
        said = f"which {', '.join(map(str, fitting))} do" if fitting else "which none above 1 does"
        raise UserError(
            f"mask_size={size}: masked squares have to divide images of {sides[0]}×{sides[1]} "
            f"pixels, {said}"
        )
    return size


def check_ratio(mask_ratio: float, grid: tuple[int, int], size: int) -> None:
    """Raise UserError unless a ratio masks some squares of a grid, and leaves some."""
    if isinstance(mask_ratio, bool) or not isinstance(mask_ratio, int | float):
        raise UserError(f"mask_ratio={mask_ratio!r}: expected a number")
    squares = grid[0] * grid[1]
    if squares < 2:
        raise UserError(
            f"mask_size={size}: the image is {squares} such square, of which none could be masked "
            "and one left: choose a smaller one"
        )
    if visible_patches(squares, mask_ratio) == squares:
        raise UserError(
            f"mask_ratio {mask_ratio} masks none of {squares} squares, so that nothing is to be "
            f"predicted: choose {1 / squares:.3f} or more"
        )


def check_map(encoder: Encoder) -> None:
    """Raise UserError unless the places of an encoder's last map tile its images.

    One image goes through. On 'meta' some models of timm cannot be asked: then it stays unknown.
    """
    height, width = encoder.img_size
    stride, training = encoder.strides[-1], encoder.training
    device = next(encoder.parameters()).device
    image = torch.zeros(1, encoder.config["in_chans"], height, width, device=device)
    encoder.eval()
    try:
        with torch.no_grad():
            rows, columns = encoder.last_map(image).shape[2:]
    except FAULTS as error:
        if device.type == "meta":
            return
        raise UserError(
            f"the method simmim: images of {height}×{width} pixels do not go through this encoder: "
            f"{first_line(error)}"
        ) from error
    finally:
        encoder.train(training)
    if (rows * stride, columns * stride) != (height, width):
        raise UserError(
            f"the method simmim: of images of {height}×{width} pixels this encoder has "
            f"{rows}×{columns} places of {stride}×{stride} pixels at its end, which do not cover "
            f"them exactly: choose an img_size of multiples of {stride}, or another encoder"
        )
