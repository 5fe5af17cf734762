"""Garments at known distances, in colour with depth: which of them is nearest?"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from downstream.examples.draw import Picture, rng_of
from mae_core.data.demo import garments
from mae_core.data.demo.scenes import KINDS, Scene, generate_scenes

CANVAS = 60  # pixels a side
WALL, NEAR, FAR = 4.0, 0.8, 3.5  # metres: of the wall, and of garments
TINT = (0.5, 1.0)  # of each colour of a garment, and of the wall
SUFFIX = ".npy"


def scenes(images: int, seed: int) -> Iterator[Picture]:
    """(60, 60, 4) float32: red, green, blue of 0 to 255, and metres; a folder for each kind.

    The class is the kind of the garment that is nearest, which lies over the others where it meets
    them. Garments are Fashion-MNIST's photos, laid over each other as in the demo.

    Args:
        images: how many.
        seed: of all that is drawn.

    Raises:
        UserError: if Fashion-MNIST cannot be had.
    """
    split = garments.load(garments.locate())["train"]
    kinds = list(KINDS)
    for index, scene in enumerate(generate_scenes(split, images, CANVAS, rng_of(seed))):
        nearest = kinds[scene.instances[-1].label]
        yield f"{nearest}/{index:06d}{SUFFIX}", with_depth(scene, rng_of(seed, index))


def with_depth(scene: Scene, rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W, 4): the scene in colours that mean nothing, and its depth as a Kinect measures it.

    The deviation of a distance of z metres is 0.0012 + 0.0019 (z - 0.4)^2 (Nguyen et al. 2012,
    Modeling Kinect Sensor Noise).
    """
    distances = np.sort(rng.uniform(NEAR, FAR, len(scene.instances)))[::-1]
    depth = np.full(scene.image.shape, WALL)
    tint = np.ones((*scene.image.shape, 3)) * rng.uniform(*TINT, 3)
    for instance, distance in zip(scene.instances, distances, strict=True):
        depth[instance.mask] = distance
        tint[instance.mask] = rng.uniform(*TINT, 3)
    measured = depth + rng.normal(size=depth.shape) * (0.0012 + 0.0019 * (depth - 0.4) ** 2)
    image = np.concatenate([scene.image[..., None] * tint, measured[..., None]], axis=2)
    return image.astype(np.float32)
