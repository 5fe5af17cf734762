"""Which file is the mask of which image: both have one name, alone or in a pattern.

A place is a folder, whose files are called as what they show, or a pattern of their paths, such as
`masks/{name}_mask.png` or `{name}/mask.png`; folders above what the pattern says may be any.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os.path import realpath, splitext
from pathlib import Path

from mae_core.data.roots import files_below
from mae_core.data.sources.base import SUFFIXES, is_image
from mae_core.errors import UserError
from mae_core.notices import say

NAME = "{name}"
# Of masks. Of two files of one name in one folder the image is the one whose suffix comes later.
MASKS = (".png", ".tif", ".tiff", ".bmp", ".gif")
LOSSY = (".jpg", ".jpeg", ".jfif", ".webp")
LABEL_IDS = "_labelTrainIds"  # ends the names of masks that mmseg's tools make
EXPORT = "changes pixels, above all at borders: export masks as PNG or TIFF"
Pair = tuple[Path, Path]  # an image, and its mask


@dataclass(frozen=True)
class Place:
    """Where files lie, and what of their paths is the name that images and masks share.

    Attributes:
        folder: that all lie below.
        before: what their paths below it have before the name, if anything.
        after: what they have after it, with or without a suffix.
    """

    folder: Path
    before: str = ""
    after: str = ""

    @classmethod
    def of(cls, path: Path) -> "Place":
        """What a folder or a pattern means. Raises UserError for a pattern with several names."""
        parts = path.parts
        first = next((place for place, part in enumerate(parts) if NAME in part), len(parts))
        pattern = "/".join(parts[first:]) or NAME
        if pattern.count(NAME) > 1:
            raise UserError(f"{path} has {NAME} twice: expected one, as in masks/{NAME}_mask.png")
        before, _, after = pattern.partition(NAME)
        return cls(Path(*parts[:first]), before, after)

    @property
    def is_pattern(self) -> bool:
        """Whether not all pictures of the folder are meant."""
        return bool(self.before or self.after)

    @property
    def suffix(self) -> str:
        """The one suffix of a picture that all have, '' for any."""
        end = splitext(f"x{self.after}")[1].lower()
        return end if end in SUFFIXES else ""

    def files(self) -> list[tuple[str, Path]]:
        """The pictures here, each with its name, in the order of their paths; links are followed.

        Raises:
            UserError: if there is no such folder, or as :func:`files_below`.
        """
        if not self.folder.is_dir():
            known = "" if "{" not in str(self.folder) else f"; patterns know {NAME} alone"
            raise UserError(f"no folder {self.folder}{known}")
        end = re.escape(self.after) if self.suffix else re.escape(self.after) + r"\.[^./]+"
        called = re.compile(f"((?:.*/)?){re.escape(self.before)}([^/]+){end}", re.DOTALL | re.I)
        found = []
        for file in sorted(filter(is_image, files_below(self.folder))):
            if match := called.fullmatch(file):
                found.append((f"{match[1]}{match[2]}", self.folder / file))
        return found

    def own_name(self, path: Path) -> str:
        """What tells a file from others: its name, or that of the folder which a pattern names."""
        return path.parts[-1 - self.after.count("/")]

    def of_name(self, name: str) -> Path:
        """A path that a file of this name has here."""
        above, slash, own = name.rpartition("/")
        end = self.after if self.suffix else f"{self.after}.png"
        return self.folder / f"{above}{slash}{self.before}{own}{end}"


def find_pairs(images: Path, masks: Path) -> list[Pair]:
    """The images of a place, each with its mask: a file of the same name, or that begins so.

    Images and masks may lie in one folder: what is the mask of another file is no image. Masks
    without an image are left out, and that is said.

    Args:
        images: folder or pattern.
        masks: folder or pattern.

    Raises:
        UserError: if a folder or all images are missing, an image has no mask or several, or a mask
            has several images.
    """
    place = Place.of(masks)
    if place.suffix in LOSSY:
        raise UserError(f"masks={masks}: {place.suffix} {EXPORT}")
    named: dict[str, list[Path]] = {}
    for name, path in place.files():
        named.setdefault(name, []).append(path)
    pictures = images_beside(Place.of(images), place, named)
    image_of: dict[Path, Path] = {}
    alone = []
    for image, name in pictures.items():
        mask = mask_of(image, name, named, pictures)
        if mask is None:
            alone.append((image, name))
        elif mask in image_of:
            raise UserError(f"{image_of[mask]} and {image} have the same mask {mask}: remove one")
        else:
            image_of[mask] = image
    used = {realpath(mask) for mask in image_of}
    for image, name in alone:
        if realpath(image) not in used:
            raise no_mask(image, name, place, named)
    pairs = [(image, mask) for mask, image in image_of.items() if realpath(image) not in used]
    if not pairs:
        raise UserError(f"no images in {images}")
    tell_left_over(named, pictures, place)
    return pairs


def images_beside(place: Place, masks: Place, named: Mapping[str, list[Path]]) -> dict[Path, str]:
    """The names of images, without what a pattern or a folder further down makes masks."""
    found = {path: name for name, path in place.files()}
    others: set[Path] = set()
    if masks.is_pattern:
        others = {path for paths in named.values() for path in paths}
    elif place.folder in masks.folder.parents:
        others = {path for path in found if path.is_relative_to(masks.folder)}
    return {path: name for path, name in found.items() if path not in others}


def mask_of(
    image: Path, name: str, named: Mapping[str, list[Path]], pictures: Mapping[Path, str]
) -> Path | None:
    """The mask of an image, if it has one. Raises UserError if it has several.

    Args:
        image: its path.
        name: that it shares with its mask.
        named: files by name, in the place of masks.
        pictures: all that may be images.
    """
    for key in (name, f"{name}{LABEL_IDS}"):
        found = [path for path in named.get(key, ()) if may_be_mask(path, image, pictures)]
        if len(found) > 1:
            raise UserError(
                f"{image} has two masks, {found[0]} and {found[1]}: remove one, or tell masks by a "
                f"pattern, such as masks='masks/{NAME}_mask.png'"
            )
        if found:
            return found[0]
    return None


def may_be_mask(path: Path, image: Path, pictures: Mapping[Path, str]) -> bool:
    """Whether a file of an image's name is another one, and can be its mask."""
    if path.suffix.lower() not in MASKS or realpath(path) == realpath(image):
        return False
    own = image.suffix.lower()
    return path not in pictures or own not in MASKS[: MASKS.index(path.suffix.lower()) + 1]


def no_mask(image: Path, name: str, place: Place, named: Mapping[str, list[Path]]) -> UserError:
    """The error of an image without a mask."""
    lossy = [path for path in named.get(name, ()) if path.suffix.lower() in LOSSY and path != image]
    if lossy:
        return UserError(f"{lossy[0]} is no mask for {image.name}: {lossy[0].suffix} {EXPORT}")
    return UserError(
        f"no mask at {place.of_name(name)} for {image.name}: expected a PNG, TIFF, BMP or GIF of "
        "that name, which holds class ids or colours; masks with other names are found by a "
        f"pattern, such as masks='masks/{NAME}_mask.png'"
    )


def tell_left_over(
    named: Mapping[str, list[Path]], pictures: Mapping[Path, str], place: Place
) -> None:
    """Say how many masks have no image, if any."""
    names: Iterable[str] = set(pictures.values())
    over = [
        path
        for name, paths in named.items()
        for path in paths
        if path not in pictures and name.removesuffix(LABEL_IDS) not in names
    ]
    if over:
        one = f"{len(over):,} picture(s) in {place.folder} are masks of no image"
        say(f"{one}, such as {over[0].name}: left out")
