"""Images to sequences of flattened patches and back."""

import torch
from torch import Tensor

from mae_core.errors import UserError


def grid_size(height: int, width: int, patch_size: int) -> tuple[int, int]:
    """Patches down and across. Raises UserError if the patch does not divide the image."""
    if height % patch_size or width % patch_size:
        raise UserError(
            f"an image of {height}×{width} pixels cannot be cut into patches of {patch_size}: "
            f"choose a multiple of {patch_size} for both sides"
        )
    return height // patch_size, width // patch_size


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """(N, C, H, W) -> (N, L, p*p*C), patches row by row, pixels in (row, column, channel) order."""
    n, c, height, width = images.shape
    p = patch_size
    h, w = grid_size(height, width, p)
    return images.reshape(n, c, h, p, w, p).permute(0, 2, 4, 3, 5, 1).reshape(n, h * w, p * p * c)


def unpatchify(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    """(N, L, p*p*C) -> (N, C, H, W), the inverse of :func:`patchify`."""
    n, _, size = patches.shape
    p = patch_size
    h, w = grid_size(height, width, p)
    c = size // (p * p)
    return patches.reshape(n, h, w, p, p, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, height, width)


def gather_patches(tokens: Tensor, index: Tensor) -> Tensor:
    """Pick tokens (N, L, D) at index (N, K) -> (N, K, D)."""
    return torch.gather(tokens, 1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
