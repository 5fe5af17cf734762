"""Over which images a table of positions was learnt: their number alone does not tell.

64 positions are 8 × 8, 4 × 16 or 2 × 32 patches, and the wrong one loads without an error.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mae_core.errors import UserError
from mae_core.layouts import StateDict
from mae_core.positions import sincos_positions

TABLES = ("encoder.pos_embed", "decoder.pos_embed")
EMBEDDING = "encoder.patch_embed.proj.weight"
PUBLISHED = 224  # pixels: the square images that the published models of these sizes have seen
SIZES = {(192, 16), (384, 16), (768, 16), (1024, 16), (1280, 14)}  # their width and patch
CLOSE = 0.05  # between a sine and one kept in half precision; other grids differ by about 1
NUMBER = re.compile(r"[1-9][0-9]{0,4}")  # of pixels


def image_size(
    state: StateDict, metadata: Mapping[str, Any], given: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Height and width of the images that an encoder in our names was made for.

    They are those that are `given`, or in the metadata, or what the positions tell, see
    :func:`grid_of`.

    Raises:
        UserError: if none of them says it, or they do not fit the number of positions.
    """
    patch = patch_size(state)
    stored = metadata.get("encoder")
    size = given or (stored and tuple(stored["img_size"])) or metadata.get("image_size")
    grid = (size[0] // patch, size[1] // patch) if size else grid_of(state)
    length = positions(state)
    if grid is None:
        raise UserError(
            f"{length} positions of {patch}×{patch} pixels, and nothing that says of which images: "
            f"give their size, such as --img-size {PUBLISHED} or --img-size 32x128"
        )
    if size and (size[0] % patch or size[1] % patch or grid[0] * grid[1] != length):
        raise UserError(
            f"{length} positions of {patch}×{patch} pixels, which images of {size[0]}×{size[1]} do "
            "not have: give their size with --img-size"
        )
    return grid[0] * patch, grid[1] * patch


def grid_of(state: StateDict) -> tuple[int, int] | None:
    """Rows and columns of the positions (1, 1 + L, D) of a state dict in our names.

    Sine-cosine tables, as MAE's, are recognised by their values. Of a model of the sizes of a
    published one that has as many positions, the images are taken for the published one's. None for
    others.
    """
    for key in TABLES:
        if key in state and (found := sincos_grid(state[key])):
            return found
    if EMBEDDING not in state or TABLES[0] not in state:
        return None
    width, patch = state[EMBEDDING].shape[0], patch_size(state)
    side = PUBLISHED // patch
    if (width, patch) in SIZES and positions(state) == side**2:
        return side, side
    return None


def sincos_grid(table: Tensor) -> tuple[int, int] | None:
    """The grid of a fixed sine-cosine table (1, 1 + L, D); None if it is none."""
    if table.is_meta or table.ndim != 3 or not table.is_floating_point():
        return None
    _, count, width = table.shape
    if width % 4 or count < 2:
        return None
    for rows in range(1, count):
        if (count - 1) % rows == 0:
            grid = (rows, (count - 1) // rows)
            if torch.allclose(table.float(), sincos_positions(grid, width), rtol=0, atol=CLOSE):
                return grid
    return None


def positions(state: StateDict) -> int:
    """Number of patches that a state dict has positions for. Raises UserError if it has none."""
    table = state.get(TABLES[0])
    if table is None or table.ndim != 3:
        raise UserError(f"no weight '{TABLES[0]}' of shape (1, positions, width)")
    return table.shape[1] - 1


def patch_size(state: StateDict) -> int:
    """Side of a patch in pixels. Raises UserError if there is no embedding of square ones."""
    weight = state.get(EMBEDDING)
    if weight is None or weight.ndim != 4 or weight.shape[2] != weight.shape[3]:
        raise UserError(f"no weight '{EMBEDDING}' of square patches")
    return weight.shape[2]


def parse_size(text: str) -> tuple[int, int]:
    """'224' or '32x128' (height first) as pixels. Raises UserError for anything else."""
    parts = text.lower().replace("×", "x").replace(",", "x").split("x")
    if len(parts) > 2 or not all(NUMBER.fullmatch(part) for part in parts):
        raise UserError(
            f"'{text}' is no size of images: expected 224, or 32x128 with the height first"
        )
    return int(parts[0]), int(parts[-1])
