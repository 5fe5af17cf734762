"""ImageNet-like JPEGs, cut out of the photographs in two of Debian's packages of wallpapers."""

import io
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from mae_core.data.cache import atomic_folder, cache_root, locked
from mae_core.errors import UserError

PACKAGES = {  # photographs: where they lie in the package
    "lomiri-wallpapers-16.04": "usr/share/backgrounds/*_by_*.jpg",
    "mate-backgrounds": "usr/share/backgrounds/mate/nature/*.jpg",
}
CLASSES = 10
LONG, SHORT = 500, 375  # pixels
SCALE = (2, 5)  # so many times a part is scaled down


def photos(count: int = 600, quality: int = 95) -> Path:
    """A folder of `count` JPEGs of about 500×375 in ten class folders, made once in the cache.

    Each is a part of a photograph, scaled down, a quarter of them upright; chroma is halved in
    both directions, as in most of ImageNet.

    Raises:
        UserError: if apt-get or dpkg cannot provide the packages.
    """
    root = cache_root() / f"photos-{count}-q{quality}"
    with locked(root):
        if not root.exists():
            with atomic_folder(root) as folder, tempfile.TemporaryDirectory() as scratch:
                write(wallpapers(Path(scratch)), folder, count, quality)
    return root


def wallpapers(scratch: Path) -> list[Path]:
    """The photographs, unpacked into `scratch` without root."""
    try:
        subprocess.run(["apt-get", "-qq", "download", *PACKAGES], cwd=scratch, check=True)
        for package in scratch.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, scratch], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f"Debian's packages {', '.join(PACKAGES)} cannot be had: {error}"
        ) from error
    return [path for pattern in PACKAGES.values() for path in sorted(scratch.glob(pattern))]


def write(files: list[Path], folder: Path, count: int, quality: int) -> None:
    """Cut `count` images in all out of the files, in equal numbers."""
    rng = np.random.default_rng(0)
    for number in range(CLASSES):
        (folder / f"class-{number}").mkdir()
    shares = np.array_split(np.arange(count), len(files))
    for file, numbers in zip(files, shares, strict=True):
        with Image.open(file) as opened:
            photo = opened.convert("RGB")
        for number in numbers:
            target = folder / f"class-{number % CLASSES}" / f"{number:05d}.jpg"
            target.write_bytes(cut(photo, rng, quality))


def cut(photo: Image.Image, rng: np.random.Generator, quality: int) -> bytes:
    """One JPEG from a random place of the photo."""
    size = (LONG, SHORT) if rng.random() < 0.75 else (SHORT, LONG)
    scale = min(rng.uniform(*SCALE), photo.width / size[0], photo.height / size[1])
    width, height = (int(side * scale) for side in size)
    left = int(rng.integers(photo.width - width + 1))
    top = int(rng.integers(photo.height - height + 1))
    part = photo.resize(
        size, Image.Resampling.LANCZOS, (left, top, left + width, top + height), reducing_gap=3
    )
    out = io.BytesIO()
    part.save(out, "JPEG", quality=quality, subsampling="4:2:0")
    return out.getvalue()
