"""An image as its file holds it: what every reader of :mod:`mae_core.data.stored` gives."""

from typing import Any, NamedTuple

from numpy.typing import NDArray

from mae_core.data.picture import MAX_PIXELS, Unreadable
from mae_core.errors import UserError

MAX_VALUES = 1 << 28  # of an image, over all bands: 268 million, 1.1 GB as float32


class Raster(NamedTuple):
    """An image as it is stored.

    Attributes:
        pixels: (H, W, C), the right way up, of any dtype.
        names: of the bands, as many as C, or empty where the file has none.
        nodata: the value of pixels that were not measured; None without one.
        kind: of file and numbers, such as 'TIFF uint16'.
    """

    pixels: NDArray[Any]
    names: tuple[str, ...]
    nodata: float | None
    kind: str


def check_size(shape: tuple[int, ...], name: str) -> None:
    """Raise Unreadable for more numbers than are read at once; `shape` is (H, W, C)."""
    height, width, bands = shape
    if height * width > MAX_PIXELS or height * width * bands > MAX_VALUES:
        most = f"{MAX_PIXELS // 10**6} million pixels and {MAX_VALUES // 10**6} million numbers"
        raise Unreadable(
            f"{name} has {width}×{height} pixels and {bands} bands: at most {most} are read at "
            "once; cut it into tiles"
        )


def not_installed(name: str, package: str, extra: str) -> UserError:
    """The error of a package that reading the file `name` takes."""
    return UserError(
        f"{name} takes the package {package}, which is not installed: pip install {package}, or "
        f"mae-bench with its extra '{extra}'"
    )
