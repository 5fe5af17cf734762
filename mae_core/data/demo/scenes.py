"""Real garments in composed scenes: Fashion-MNIST photos laid over each other on a canvas.

The garments' pixels are photos; where they lie, what hides what and the background are drawn by
a seeded generator. Boxes and masks follow from the layout, so they are exact for the composition
and as good as the cut-out for the garment's outline.

The ten classes of photos are five kinds in scenes: what a few minutes of training can tell apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mae_core.data.demo.garments import CLASSES, Split

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]

KINDS = {
    "top": ("t-shirt", "pullover", "coat", "shirt"),
    "trouser": ("trouser",),
    "dress": ("dress",),
    "shoe": ("sandal", "sneaker", "ankle-boot"),
    "bag": ("bag",),
}

MIN_GARMENTS, MAX_GARMENTS = 2, 4
SCALE = (0.9, 1.2)
MAX_DEGREES = 8.0
MIN_VISIBLE = 0.5
PLACE_ATTEMPTS = 20
MIN_CANVAS = 48  # pixels: room for the largest turned garment

BACKDROP_LEVEL = 4  # brighter is garment; photos have black backdrops with faint traces
BACKDROP_FILL = 0.95  # a cut-out that fills its box is a photo with a grey backdrop
STRIPE_GAP = np.ones((5, 1), np.bool_)  # bridges black stripes, keeps trouser legs apart
SEE_THROUGH = (CLASSES.index("sandal"), CLASSES.index("bag"))
SEE_THROUGH_PIXELS = 6  # a hole of this size is the view through a handle or between straps


@dataclass
class Instance:
    """A garment in a scene.

    Attributes:
        index: its place in the Fashion-MNIST split.
        label: 0..4, index into `KINDS`.
        area: pixels it would cover if nothing lay over it.
        mask: (H, W) bool, its visible part; never empty.
    """

    index: int
    label: int
    area: int
    mask: Mask


@dataclass
class Scene:
    """A picture (H, W) uint8 and its instances, the deepest first; their masks are disjoint."""

    image: NDArray[np.uint8]
    instances: list[Instance]

    def semantic(self) -> NDArray[np.uint8]:
        """(H, W): 0 for background, label + 1 for garments."""
        classes = np.zeros(self.image.shape, np.uint8)
        for instance in self.instances:
            classes[instance.mask] = instance.label + 1
        return classes


def generate_scenes(
    split: Split, count: int, canvas: int, rng: np.random.Generator
) -> Iterator[Scene]:
    """`count` scenes of 2 to 4 garments, `canvas` pixels a side (at least `MIN_CANVAS`).

    No garment is used again before all others of the split had their turn.
    """
    garments = _shuffled(len(split.images), rng)
    for _ in range(count):
        yield _compose(split, garments, canvas, rng)


def kind_of(label: int) -> int:
    """The kind, 0..4, of a garment of a class 0..9."""
    for kind, names in enumerate(KINDS.values()):
        if CLASSES[label] in names:
            return kind
    raise ValueError(f"{CLASSES[label]} is of no kind")


def cut_out(image: NDArray[np.uint8], label: int) -> Mask | None:
    """The garment's pixels (28, 28), or None for a photo whose backdrop is not black.

    Dark cloth inside the outline belongs to it; the view through a bag's handle or between a
    sandal's straps does not.
    """
    bright = np.pad(image > BACKDROP_LEVEL, 3)
    if label in SEE_THROUGH:
        filled = _fill_small_holes(bright)
    else:
        filled = ndimage.binary_fill_holes(ndimage.binary_closing(bright, STRIPE_GAP))
    parts, _ = ndimage.label(filled)
    garment: Mask = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    return None if garment[_box(garment)].mean() > BACKDROP_FILL else garment[3:-3, 3:-3]


def _fill_small_holes(mask: Mask) -> Mask:
    holes, _ = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    small = np.bincount(holes.ravel()) < SEE_THROUGH_PIXELS
    patched: Mask = mask | (small[holes] & (holes > 0))
    return patched


def _shuffled(count: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(count).tolist()


def _compose(split: Split, garments: Iterator[int], canvas: int, rng: np.random.Generator) -> Scene:
    picture = _background(canvas, rng)
    instances: list[Instance] = []
    wanted = rng.integers(MIN_GARMENTS, MAX_GARMENTS + 1)
    while len(instances) < wanted:
        index = next(garments)
        label = int(split.labels[index])
        mask = cut_out(split.images[index], label)
        if mask is None:
            continue
        pixels, alpha = _transform(split.images[index], mask, rng)
        place = _find_place(instances, alpha > 0.5, canvas, rng)
        if place is None:
            continue
        picture[place] = picture[place] * (1 - alpha) + pixels
        _put(instances, index, kind_of(label), alpha > 0.5, place, canvas)
    return Scene(picture.round().clip(0, 255).astype(np.uint8), instances)


def _background(canvas: int, rng: np.random.Generator) -> Pixels:
    """A dark wall, a little brighter to one side, with fine grain."""
    y, x = np.mgrid[-1 : 1 : canvas * 1j, -1 : 1 : canvas * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(0, 12)
    grain = rng.normal(0, rng.uniform(1, 4), (canvas, canvas))
    wall: Pixels = (rng.uniform(18, 45) + slope + grain).clip(0).astype(np.float32)
    return wall


def _transform(
    image: NDArray[np.uint8], mask: Mask, rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """Scaled, turned and perhaps mirrored: pixels times alpha, and alpha in 0..1, both (h, w)."""
    scale = rng.uniform(*SCALE)
    angle = np.radians(rng.uniform(-MAX_DEGREES, MAX_DEGREES))
    mirror = rng.choice([-1, 1])
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    to_source = np.array([[cos, -sin], [mirror * sin, mirror * cos]])
    side = int(np.ceil(image.shape[0] * scale * 1.25))
    offset = (image.shape[0] - 1) / 2 - to_source @ np.full(2, (side - 1) / 2)

    def warp(source: Pixels) -> Pixels:
        out: Pixels = ndimage.affine_transform(source, to_source, offset, (side, side), order=1)
        return out

    alpha = warp(mask.astype(np.float32))
    pixels = warp((image * mask).astype(np.float32))
    box = _box(alpha > 0)
    return pixels[box], alpha[box]


def _find_place(
    instances: Sequence[Instance], shape: Mask, canvas: int, rng: np.random.Generator
) -> tuple[slice, slice] | None:
    """Where `shape` fits and leaves enough of every garment below it visible."""
    height, width = shape.shape
    for _ in range(PLACE_ATTEMPTS):
        top, left = rng.integers(0, (canvas - height + 1, canvas - width + 1))
        place = slice(top, top + height), slice(left, left + width)
        if all(
            other.mask.sum() - (other.mask[place] & shape).sum() >= MIN_VISIBLE * other.area
            for other in instances
        ):
            return place
    return None


def _put(
    instances: list[Instance],
    index: int,
    label: int,
    shape: Mask,
    place: tuple[slice, slice],
    canvas: int,
) -> None:
    mask = np.zeros((canvas, canvas), np.bool_)
    mask[place] = shape
    for other in instances:
        other.mask &= ~mask
    instances.append(Instance(index, label, int(shape.sum()), mask))


def _box(mask: Mask) -> tuple[slice, slice]:
    box: tuple[slice, slice] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return box
