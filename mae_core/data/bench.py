"""How fast a data set can be loaded, stage by stage, and which stage bounds training."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from joblib import cpu_count
from mmengine.device import get_device
from torch.utils.data import DataLoader

from mae_core.data.decode import Unreadable, open_image
from mae_core.data.each import read_stored, single_threaded
from mae_core.data.images import ImageDataset, collate_views
from mae_core.data.normalize import Normalize
from mae_core.data.shared_memory import enough_shared_memory, workers_for
from mae_core.errors import UserError

T = TypeVar("T")
BATCH = 64
IMAGES = 512  # measured at most
TRANSFER = "to the device"
ADVICE = {
    "read": "pack the data (mae-bench data pack), or keep it on a faster disk",
    "decode and crop": "pack the data (mae-bench data pack), set repeats=2, or add workers",
    "augment": "augment less, set repeats=1, or add workers",
    "collate": "add workers",
    TRANSFER: "take smaller crops, or a device that is not the CPU",
}


class Bench(NamedTuple):
    """Measured speeds; a view is a crop of an image.

    Attributes:
        seconds: of one process for a view, by stage.
        workers: processes of the loader; 0 if the training's own does its work.
        rate: views a second that a training can get, with so many workers.
        bound: the stage that takes longest; on a GPU, the workers share all but the transfer.
    """

    seconds: dict[str, float]
    workers: int
    rate: float
    bound: str


def bench(
    data: str,
    input_size: int = 224,
    repeats: int = 1,
    auto_augment: str | None = None,
    workers: int | None = None,
    meaning: Mapping[str, Any] | None = None,
) -> Bench:
    """Measure on up to 512 random images of `data`, with the random crops of pretraining.

    Args:
        data: see :func:`open_source`; damaged images are passed over.
        input_size: pixels a side of the crops.
        repeats: crops of each decoded image.
        auto_augment: timm's, such as 'rand-m9-mstd0.5-inc1'.
        workers: of the loader; one a core by default.
        meaning: `split`, `columns`, `root` and `group` of :func:`open_source`.

    Raises:
        UserError: as :class:`ImageDataset` does, or if none of the images is readable.
    """
    transform = {"input_size": input_size, "is_training": True, "scale": (0.2, 1.0)}
    transform |= {"color_jitter": None, "auto_augment": auto_augment}
    how = {"repeats": repeats, "skip_unreadable": True, **(meaning or {})}
    dataset = ImageDataset(data, transform, **how)
    chosen = np.random.default_rng(0).permutation(len(dataset))[:IMAGES].tolist()
    with single_threaded():
        seconds = stage_seconds(dataset, chosen)
    workers = workers_for(dataset, BATCH, cpu_count() if workers is None else workers)
    rate = loader_rate(dataset, chosen, workers)
    return Bench(seconds, workers, rate, slowest(seconds, workers))


def slowest(seconds: dict[str, float], workers: int) -> str:
    """The stage that bounds the loading."""
    hands = max(workers, 1) if torch.cuda.is_available() else 1
    return max(seconds, key=lambda name: seconds[name] / (1 if name == TRANSFER else hands))


def stage_seconds(dataset: ImageDataset, chosen: list[int]) -> dict[str, float]:
    """Seconds of one process for a view of the images `chosen`, by stage."""
    source, transform, watch = dataset.source, dataset.transform, Stopwatch()
    seeds = list(range(dataset.repeats))
    views = []
    stored = [watch("read", read_stored, source, index) for index in chosen]
    for index, content in zip(chosen, stored, strict=True):
        try:
            opened = open_image(content, dataset.in_chans, source.name(index), dataset.bits)
            cropped = watch("decode and crop", transform.cropped, opened, seeds)
        except Unreadable:
            continue
        if transform.augment:
            cropped = watch("augment", transform.augmented, cropped, seeds)
        views += [{"inputs": view.pixels, "flip": view.flip} for view in cropped]
    if not views:
        raise UserError(f"none of {len(chosen)} images is readable: see mae-bench data check")
    normalize = normalization(dataset.in_chans)
    for begin in range(0, len(views), BATCH):
        batch = watch("collate", collate_views, views[begin : begin + BATCH])
        watch(TRANSFER, arrive, normalize, batch)
    return {name: total / len(views) for name, total in watch.seconds.items()}


def loader_rate(dataset: ImageDataset, chosen: list[int], workers: int) -> float:
    """Views a second that arrive on the device, over a second pass through the images."""
    loader = DataLoader(
        dataset,
        BATCH,
        sampler=chosen,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        collate_fn=collate_views,
    )
    normalize = normalization(dataset.in_chans)
    watch = Stopwatch()
    for name in ("start of the workers", "pass"):
        with enough_shared_memory():
            watch(name, arrive_all, normalize, loader)
    return len(chosen) * dataset.repeats / watch.seconds["pass"]


def arrive_all(normalize: Normalize, batches: Iterable[dict[str, Any]]) -> None:
    """Normalise all batches."""
    for batch in batches:
        arrive(normalize, batch)


def normalization(channels: int) -> Normalize:
    """On the device; its numbers do not matter here."""
    return Normalize([127.0] * channels, [64.0] * channels).to(get_device())


def arrive(normalize: Normalize, batch: dict[str, Any]) -> None:
    """Normalise a batch on the device and wait for it."""
    normalize(batch)
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Stopwatch:
    """Calls functions and adds up their seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, function: Callable[..., T], *arguments: Any) -> T:
        """The function's value."""
        begun = time.perf_counter()
        value = function(*arguments)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun
        return value
