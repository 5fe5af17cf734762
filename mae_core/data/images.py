"""Image folders as data sets, through timm's reader."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from timm.data import create_transform
from timm.data.readers import create_reader
from torch.utils.data import Dataset

from mae_core.data.roots import resolve_root
from mae_core.errors import UserError

MODES = {1: "L", 3: "RGB"}  # of Pillow, by channels


class ImageDataset(Dataset[dict[str, Any]]):
    """Images in one folder per class.

    An item is `{"inputs": uint8 tensor (C, H, W), "label": int}`; `classes` names the labels.

    Args:
        root: the folder with one folder per class, or 'demo/...' for the demo's data.
        transform: arguments of timm's `create_transform`; pixels stay uint8 and are normalised on
            the device.
        per_class: keep only the first n images of each class in a seeded order; all without it.
        in_chans: 1 reads as grey, 3 as RGB; transparency is dropped.
        in_memory: keep every image after its first reading, undistorted and uncompressed; for sets
            of small images.
        seed: of the choice that `per_class` makes.

    Raises:
        UserError: if the folder is missing, holds no images, or has too few for `per_class`;
            on access, if a file cannot be read as 8-bit image.
    """

    def __init__(
        self,
        root: str,
        transform: dict[str, Any],
        per_class: int | None = None,
        in_chans: int = 3,
        in_memory: bool = False,
        seed: int = 0,
    ) -> None:
        self.root = resolve_root(root)
        try:
            reader = create_reader("", root=str(self.root))
        except RuntimeError as error:
            raise UserError(
                f"{self.root} holds no .png, .jpg or .jpeg images in class folders"
            ) from error
        self.classes: list[str] = sorted(reader.class_to_idx, key=reader.class_to_idx.get)
        self.samples: list[tuple[str, int]] = reader.samples
        if per_class is not None:
            self.samples = balanced_subset(self.samples, per_class, seed)
        self.transform: Callable[[Image.Image], Any] = create_transform(
            **transform, normalize=False
        )
        if in_chans not in MODES:
            raise UserError(f"in_chans={in_chans}: images are read as 1 (grey) or 3 (RGB) channels")
        self.mode = MODES[in_chans]
        self.in_memory = in_memory
        self.kept: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path, label = self.samples[index]
        image = self.kept.get(index) or read_image(path, self.mode)
        if self.in_memory:
            self.kept[index] = image
        return {"inputs": self.transform(image), "label": label}


def read_image(path: str, mode: str) -> Image.Image:
    """The image in `mode`, 'L' or 'RGB'.

    Raises:
        UserError: if the file is damaged, or has more than 8 bits a channel, which Pillow would
            clip in silence.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise UserError(
                    f"{path} has pixels of mode '{image.mode}': convert it to 8 bits a channel"
                )
            return image.convert(mode)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's readers raise all of these
        raise UserError(
            f"{path} cannot be read as an image ({error}): repair it or delete it"
        ) from error


def balanced_subset(
    samples: Sequence[tuple[str, int]], per_class: int, seed: int
) -> list[tuple[str, int]]:
    """`per_class` samples of each class, drawn without replacement.

    Raises:
        UserError: if a class has fewer.
    """
    labels = np.array([label for _, label in samples])
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            folder = Path(samples[members[0]][0]).parent
            raise UserError(f"{folder} has {len(members)} images, per_class asks for {per_class}")
        chosen.extend(rng.choice(members, per_class, replace=False))
    return [samples[i] for i in sorted(chosen)]
