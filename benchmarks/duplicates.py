"""How many planted duplicates `data check --against` finds, and how many pairs that are none.

The threshold is chosen on one half of each set's images, and all is reported on the other half.
Beside it, hashes of libraries that are installed (imagehash, pdqhash), each with the threshold that
finds as many.

python -m benchmarks.duplicates cifar=cifar10/test nuclei=nuclei/train scenes=demo/scenes/train
"""

import argparse
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from benchmarks.measure import machine, resident
from mae_core.data.decode import Pixels
from mae_core.data.duplicates import pixels_of
from mae_core.data.likeness import ALIKE, FINE, SIDE, aligned, alike, described, thumbnail
from mae_core.data.sources import open_source

RECALL = 0.99
Random = np.random.Generator
Hash = Callable[[Pixels], NDArray[np.bool_]]


def encoded(pixels: Pixels, quality: int) -> Pixels:
    """Through a JPEG."""
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(pixels, quality, "RGB", "420"))


def resized(pixels: Pixels, factor: float) -> Pixels:
    """Scaled, bicubic."""
    size = [max(round(side * factor), 1) for side in (pixels.shape[1], pixels.shape[0])]
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def cropped(pixels: Pixels, rng: Random) -> Pixels:
    """Up to 5 % of the height and of the width, and at least a pixel, are cut off somewhere."""
    window = []
    for side in pixels.shape[:2]:
        less = max(round(side * rng.uniform(0, 0.05)), 1)
        first = rng.integers(0, less + 1)
        window.append(slice(first, side - less + first))
    return np.ascontiguousarray(pixels[tuple(window)])


def relit(pixels: Pixels, rng: Random) -> Pixels:
    """Brightness and contrast changed by up to 10 %."""
    brightness, contrast = rng.uniform(0.9, 1.1, 2)
    mean = pixels.mean()
    return np.clip(((pixels - mean) * contrast + mean) * brightness, 0, 255).astype(np.uint8)


def grey(pixels: Pixels) -> Pixels:
    """Without colour."""
    return np.array(Image.fromarray(pixels).convert("L").convert("RGB"))


KINDS: dict[str, Callable[[Pixels, Random], Pixels]] = {
    "JPEG, quality 50": lambda pixels, _: encoded(pixels, 50),
    "JPEG, 50 to 95": lambda pixels, rng: encoded(pixels, int(rng.integers(50, 96))),
    "size × 0.5 to 2": lambda pixels, rng: resized(pixels, rng.uniform(0.5, 2)),
    "crop up to 5 %": cropped,
    "brightness, contrast ± 10 %": relit,
    "grey": lambda pixels, _: grey(pixels),
    "mirrored": lambda pixels, _: np.ascontiguousarray(pixels[:, ::-1]),
}


def hashes() -> dict[str, Hash]:
    """The libraries' hashes that can be had here, each a function of an image (H, W, 3)."""
    found: dict[str, Hash] = {}
    if find_spec("imagehash"):
        import imagehash

        for side in (8, 12, 16):
            name = f"imagehash.phash, {side**2} bits"
            found[name] = lambda pixels, side=side: imagehash.phash(
                Image.fromarray(pixels), side
            ).hash.ravel()
        found["imagehash.dhash, 64 bits"] = lambda pixels: imagehash.dhash(
            Image.fromarray(pixels)
        ).hash.ravel()
        found["imagehash.whash, 64 bits"] = lambda pixels: imagehash.whash(
            Image.fromarray(pixels)
        ).hash.ravel()
    if find_spec("pdqhash"):
        import pdqhash

        found["pdqhash, 256 bits"] = lambda pixels: pdqhash.compute(pixels)[0].astype(bool)
    return found


def images_of(data: str, count: int, rng: Random) -> list[Pixels]:
    """Some of the images, in a random order."""
    source = open_source(data)
    chosen = rng.permutation(len(source))[:count]
    return [pixels_of(source, int(index), None) for index in chosen]


def halves(images: list[Pixels]) -> tuple[list[Pixels], list[Pixels]]:
    """To choose on, to report on."""
    return images[::2], images[1::2]


def recalls(images: list[Pixels], rng: Random) -> dict[str, float]:
    """By kind, the share of planted copies whose pair is found."""
    originals = np.stack([thumbnail(image) for image in images])
    found = {}
    for kind, change in KINDS.items():
        planted = np.stack([thumbnail(change(image, rng)) for image in images])
        pairs = alike(planted, originals)
        found[kind] = len(np.unique(pairs["one"][pairs["one"] == pairs["other"]])) / len(images)
    return found


def similarities(images: list[Pixels], rng: Random) -> float:
    """The similarity that `RECALL` of the copies of each kind reach."""
    originals = np.stack([thumbnail(image) for image in images])
    numbers, least = np.arange(len(images)), 1.0
    for kind, change in KINDS.items():
        if kind != "mirrored":
            planted = np.stack([thumbnail(change(image, rng)) for image in images])
            reached = aligned(planted, numbers, originals, numbers)
            least = min(least, float(np.quantile(reached, 1 - RECALL)))
    return least


def named_by_hash(hashed: Hash, chosen: list[Pixels], reported: list[Pixels], rng: Random) -> float:
    """Pairs a hash names for each of `reported` if it is to find `RECALL` of all kinds."""
    originals = np.stack([hashed(image) for image in chosen])
    needed = 0.0
    for kind, change in KINDS.items():
        if kind != "mirrored":
            planted = np.stack([hashed(change(image, rng)) for image in chosen])
            distances = (planted != originals).sum(1)
            needed = max(needed, float(np.quantile(distances, RECALL, method="higher")))
    signs = 2 * np.stack([hashed(image) for image in reported]).astype(np.float32) - 1
    distances = (signs.shape[1] - signs @ signs.T) / 2
    return np.triu(distances <= needed, 1).sum() / len(reported)


def named(images: list[Pixels]) -> float:
    """Images with an earlier one that looks alike, by the shipped threshold."""
    pairs = alike(np.stack([thumbnail(image) for image in images]), None)
    return len(np.unique(pairs["one"])) / len(images)


def named_unaligned(chosen: list[Pixels], reported: list[Pixels], rng: Random) -> float:
    """As :func:`named_by_hash`, of our descriptions without trying crops."""
    originals = described(np.stack([thumbnail(image) for image in chosen]), FINE)
    needed = 1.0
    for kind, change in KINDS.items():
        if kind != "mirrored":
            planted = described(np.stack([thumbnail(change(i, rng)) for i in chosen]), FINE)
            products = (planted * originals).sum(1).numpy()
            needed = min(needed, float(np.quantile(products, 1 - RECALL, method="lower")))
    own = described(np.stack([thumbnail(image) for image in reported]), FINE)
    return np.triu((own @ own.T).numpy() >= needed, 1).sum() / len(reported)


def time_search(count: int) -> None:
    """Print seconds and memory of comparing so many random thumbnails with each other."""
    rng = np.random.default_rng(0)
    thumbnails = np.empty((count, SIDE, SIDE), dtype=np.uint8)
    for index in range(count):
        coarse = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        thumbnails[index] = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    before, begun = resident(), time.perf_counter()
    alike(thumbnails, None)
    seconds = time.perf_counter() - begun
    pairs = count * (count - 1)  # each as it is, and mirrored
    print(
        f"\n{count:,} thumbnails with each other and mirrored: {seconds:.1f} s, "
        f"{pairs / seconds / 1e6:.0f} million comparisons/s, "
        f"{resident('VmHWM') - before:.2f} GiB beside those of the thumbnails"
    )


def print_table(head: str, rows: Mapping[str, Mapping[str, str]], columns: list[str]) -> None:
    """As Markdown."""
    print(f"\n| {head} | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(row[column] for column in columns)} |")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", help="name=data")
    parser.add_argument("--images", type=int, default=2000, help="of each set, both halves")
    parser.add_argument("--search", type=int, default=100_000, help="thumbnails; 0 leaves it out")
    arguments = parser.parse_args()
    sets = dict(entry.split("=", 1) for entry in arguments.sets)
    recall: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    pairs: dict[str, dict[str, str]] = {"ours": {}, f"{FINE**2} values, no crops tried": {}}
    threshold = {"threshold for 0.99 on the first half": dict[str, str]()}
    for name, data in sets.items():
        rng = np.random.default_rng(0)
        chosen, reported = halves(images_of(data, arguments.images, rng))
        threshold["threshold for 0.99 on the first half"][name] = f"{similarities(chosen, rng):.3f}"
        for kind, share in recalls(reported, rng).items():
            recall[kind][name] = f"{share:.3f}"
        pairs["ours"][name] = f"{named(reported):.4f}"
        pairs[f"{FINE**2} values, no crops tried"][name] = (
            f"{named_unaligned(chosen, reported, rng):.4f}"
        )
        for title, hashed in hashes().items():
            share = named_by_hash(hashed, chosen, reported, rng)
            pairs.setdefault(title, {})[name] = f"{share:.4f}"
    print(machine("cpu"))
    print_table(f"recall at {ALIKE}", {**recall, **threshold}, list(sets))
    print_table("pairs named for an image", pairs, list(sets))
    if arguments.search:
        time_search(arguments.search)


if __name__ == "__main__":
    main()
