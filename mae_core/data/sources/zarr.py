"""Images as one array of Zarr, which is read an image at a time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mae_core.data.picture import damage_told
from mae_core.data.raster import check_size
from mae_core.data.sources.arrays import check_images, labels_of
from mae_core.data.sources.base import Groups
from mae_core.data.sources.targets import Targets
from mae_core.data.zarr import check_numbers, measured, multiscales, opened
from mae_core.errors import UserError

if TYPE_CHECKING:
    from zarr import Array


class ZarrSource:
    """The array `images` (N, H, W) or (N, H, W, C) of a group, and perhaps `labels` (N,).

    As those of an .npz. A folder that is an array itself has no labels.

    Raises:
        UserError: if the folder is damaged, is one image, or its arrays are missing or not as said.
    """

    groups: Groups | None = None
    targets: Targets | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with damage_told(str(path)):
            images = self.images
            check_images(images.shape, images.dtype, path)
            check_numbers(images, str(path))
            self.count = images.shape[0]
            labels = self.array("labels")
            found = None if labels is None else np.asarray(labels[...])
            if found is not None and found.dtype.kind in "TO":  # texts of any length
                found = np.array(found.tolist(), dtype=str)
            self.classes, self.labels = labels_of(found, self.count, path)

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """The folder's path, a slash, and the image's number."""
        return f"{self.path}/{index}"

    def read(self, index: int) -> NDArray[Any]:
        """The pixels, (H, W) or (H, W, C) with C above 1.

        Raises:
            Unreadable: if they are damaged or too large.
        """
        images, name = self.images, self.name(index)
        with damage_told(name):
            shape = images.shape[1:]
            check_size((*shape[:2], int(np.prod(shape[2:]))), name)
            pixels = measured(np.asarray(images[index]), images.attrs.get("_FillValue"))
            return pixels[..., 0] if shape[2:] == (1,) else pixels

    @property
    def images(self) -> "Array":
        """The array, opened once in each process."""
        found = self.array("images")
        if found is None:
            top: Any = opened(str(self.path))
            if multiscales(top):
                raise UserError(f"{self.path} is one image (OME-Zarr): name the folder it lies in")
            known = ", ".join(name for name, _ in top.arrays()) or "nothing"
            raise UserError(f"{self.path} has no array 'images'; it has {known}")
        return found

    def array(self, name: str) -> "Array | None":
        """One of the group; a folder that is an array itself is the images."""
        import zarr

        top = opened(str(self.path))
        if isinstance(top, zarr.Array):
            return top if name == "images" else None
        found = top.get(name)
        return found if isinstance(found, zarr.Array) else None
