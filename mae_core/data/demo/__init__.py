"""The demo's data, written as ordinary files: the folders and COCO files a user would bring."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mae_core.data.cache import atomic_folder, cache_root, locked
from mae_core.data.demo import garments
from mae_core.data.demo.coco import coco_file
from mae_core.data.demo.garments import CLASSES, Location, Split
from mae_core.data.demo.scenes import KINDS, MIN_CANVAS, Scene, generate_scenes
from mae_core.errors import UserError

log = logging.getLogger(__name__)

GENERATOR_VERSION = 4  # a change of the written files is a new version
SPLITS = {"train": "train", "val": "t10k"}  # ours: Fashion-MNIST's
PARTS = {"train": ("train",), "val": ("val", "test")}  # parts that are of the same photos

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DemoSpec:
    """How much to write.

    Attributes:
        train_images, val_images, test_images: multiples of 10 (classes); at most 60,000, and 10,000
            of val and test together. Recipes are chosen on val, reported on test.
        train_scenes, val_scenes, test_scenes: at least 1.
        canvas: pixels a side of a scene, at least 48.
        seed: of the choice of images and of the scenes.

    Raises:
        UserError: on a value outside these ranges.
    """

    train_images: int = 10_000
    val_images: int = 2_000
    test_images: int = 2_000
    train_scenes: int = 1_200
    val_scenes: int = 200
    test_scenes: int = 200
    canvas: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        left = 10_000 - self.val_images
        for name, most in (("train_images", 60_000), ("val_images", 9_990), ("test_images", left)):
            value = getattr(self, name)
            if value % len(CLASSES) or not 0 < value <= most:
                raise UserError(f"{name}={value}: expected a multiple of 10 from 10 to {most}")
        for name, least in (
            ("train_scenes", 1),
            ("val_scenes", 1),
            ("test_scenes", 1),
            ("canvas", MIN_CANVAS),
            ("seed", 0),
        ):
            if getattr(self, name) < least:
                raise UserError(f"{name}={getattr(self, name)}: expected at least {least}")

    @property
    def total(self) -> int:
        """Pictures to write, semantic masks not counted."""
        return self.train_images + self.val_images + self.test_images + self.scenes

    @property
    def scenes(self) -> int:
        """Scenes of all splits."""
        return self.train_scenes + self.val_scenes + self.test_scenes

    def identity(self) -> dict[str, int]:
        """All that decides the files' content."""
        return {"generator_version": GENERATOR_VERSION, **asdict(self)}


def prepare_demo(
    root: Path | None = None, *, spec: DemoSpec | None = None, progress: Progress | None = None
) -> Path:
    """Write the demo's data once and return its folder; a complete one is reused.

    ```
    classification/{train,val,test}/<class>/<index>.png   28x28 grey, as many of each class
    scenes/{train,val,test}/<number>.png             canvas x canvas grey
    scenes/instances_{train,val,test}.json           COCO, categories 1..5, visible parts
    scenes/{train,val,test}_masks/<number>.png       grey: 0 background, 1..5 category
    dataset.json                                     source, checksums, licence, parameters
    ```
    `<index>` is the image's place in Fashion-MNIST's `train` (train) or `t10k` (val, test) split.
    Equal specs give byte-identical files, `dataset.json`'s source apart.

    Args:
        root: default `<cache>/demo-<hash of the spec and the generator's version>`.
        spec: sizes and seed, `DemoSpec()` by default.
        progress: called with pictures written and pictures in all.

    Raises:
        UserError: if the images cannot be had, or `root` holds something else.
    """
    spec = spec or DemoSpec()
    root = Path(root) if root else cache_root() / f"demo-{_short_hash(spec)}"
    if _is_complete(root, spec):
        return root
    with locked(root):
        if _is_complete(root, spec):
            return root
        location = garments.locate()
        log.info("writing the demo's data to %s", root)
        with atomic_folder(root) as folder:
            _write(folder, location, spec, progress or (lambda done, total: None))
    return root


def _short_hash(spec: DemoSpec) -> str:
    return hashlib.sha256(json.dumps(spec.identity()).encode()).hexdigest()[:10]


def _is_complete(root: Path, spec: DemoSpec) -> bool:
    """Whether `root` is this spec's data; False if it is not there or files were lost.

    Raises:
        UserError: if `root` is a file or holds anything else, which must not be overwritten.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / "dataset.json").read_text())
        identity, pictures = found["identity"], found["pictures"]
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"{root} holds no demo data: delete it or name another folder") from None
    if identity != spec.identity():
        raise UserError(
            f"{root} holds demo data of {identity}, expected {spec.identity()}: "
            "delete it or name another folder"
        )
    found = (name for _, _, names in os.walk(root) for name in names if name.endswith(".png"))
    lost: int = pictures - sum(1 for _ in found)
    if lost:
        log.warning("%s: %d pictures are missing, writing all anew", root, lost)
    return lost == 0


def _write(folder: Path, location: Location, spec: DemoSpec, progress: Progress) -> None:
    splits = garments.load(location)
    for done, _ in enumerate(_pictures(folder, splits, spec), start=1):
        progress(done, spec.total)
    about = {
        "name": "MAE-Bench demo: Fashion-MNIST garments, single and in composed scenes",
        "source": location.source,
        "licence": garments.LICENCE,
        "sha256_of_content": garments.SHA256,
        "identity": spec.identity(),
        "pictures": spec.total + spec.scenes,
    }
    (folder / "dataset.json").write_text(json.dumps(about, indent=2) + "\n")


def _pictures(folder: Path, splits: dict[str, Split], spec: DemoSpec) -> Iterator[Path]:
    """Write everything but `dataset.json`, yielding each picture's path."""
    for number, (name, source) in enumerate(SPLITS.items()):
        for_images, for_scenes = np.random.default_rng([spec.seed, number]).spawn(2)
        split = splits[source]
        counts = {part: getattr(spec, f"{part}_images") for part in PARTS[name]}
        yield from _write_images(folder / "classification", split, counts, for_images)
        counts = {part: getattr(spec, f"{part}_scenes") for part in PARTS[name]}
        # One run of the generator, which takes no garment twice: val and test share none.
        scenes = generate_scenes(split, sum(counts.values()), spec.canvas, for_scenes)
        for part, count in counts.items():
            yield from _write_scenes(folder / "scenes", part, source, islice(scenes, count))


def _write_images(
    folder: Path, split: Split, counts: dict[str, int], rng: np.random.Generator
) -> Iterator[Path]:
    """As many images as `counts` has of each part, none in two of them."""
    for label, name in enumerate(CLASSES):
        members = np.flatnonzero(split.labels == label)
        each = {part: count // len(CLASSES) for part, count in counts.items()}
        chosen = iter(rng.choice(members, sum(each.values()), replace=False))
        for part, count in each.items():
            (folder / part / name).mkdir(parents=True)
            for index in islice(chosen, count):
                yield _save(split.images[index], folder / part / name / f"{index:05d}.png")


def _write_scenes(folder: Path, name: str, source: str, scenes: Iterable[Scene]) -> Iterator[Path]:
    for part in (name, f"{name}_masks"):
        (folder / part).mkdir(parents=True)
    named = {}
    for number, scene in enumerate(scenes):
        file = f"{number:05d}.png"
        named[file] = scene
        _save(scene.semantic(), folder / f"{name}_masks" / file)
        yield _save(scene.image, folder / name / file)
    annotations = coco_file(named, tuple(KINDS), source)
    (folder / f"instances_{name}.json").write_text(json.dumps(annotations))


def _save(image: NDArray[np.uint8], path: Path) -> Path:
    Image.fromarray(image).save(path)
    return path
