"""Images of many bands that are small enough for a test of a second or two."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

BANDS = 12


def field(seed: int, size: int = 16, bands: int = BANDS, label: int = 0) -> NDArray[np.uint16]:
    """(size, size, bands): smooth, up to 12,000; each class is bright in bands of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    image = np.zeros((size, size, bands))
    for band in range(bands):
        a, b, phase = rng.uniform((1, 1, 0), (4, 4, 6))
        image[..., band] = 500 * (band + 2) + 400 * np.sin(a * x + b * y + phase)
    image[..., label % 3 :: 3] += 3000
    return image.astype(np.uint16)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    """A TIFF of (H, W, C)."""
    out = io.BytesIO()
    layout = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    tifffile.imwrite(out, pixels, **{**layout, **options})
    return out.getvalue()


def npy(pixels: Any, **options: Any) -> bytes:
    """An .npy of an array."""
    out = io.BytesIO()
    np.save(out, pixels, **options)
    return out.getvalue()


def write_fields(root: Path, train: int = 6, val: int = 4, classes: int = 3) -> Path:
    """TIFFs of 12 bands in `root/{train,val}/<class>`."""
    for split, count in (("train", train), ("val", val)):
        for label in range(classes):
            folder = root / split / f"class-{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                seed = 1000 * label + number + 500 * (split == "val")
                content = tiff(field(seed, label=label), compression="zlib")
                (folder / f"{number}.tif").write_bytes(content)
    return root
