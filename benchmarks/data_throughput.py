"""Images per second of our loader against the plain torchvision pipeline.

    python -m benchmarks.data_throughput --rounds 5

ImageNet-like JPEGs (see `photos`), random resized crops of 224 pixels (scale 0.2 to 1, bilinear),
flipped at random and normalised: from the files to a float batch on the device. Each variant is one
pass over all images with the same number of worker processes; rounds interleaved, medians.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.measure import interleaved, machine
from benchmarks.photos import photos
from mae_core.data.images import ImageDataset, collate_views
from mae_core.data.normalize import Normalize
from mae_core.data.pack import pack

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE, SCALE = 224, (0.2, 1.0)
Pass = Callable[[], object]


def torchvision_pass(root: Path, batch: int, workers: int, device: str) -> Pass:
    """One epoch of the plain pipeline."""
    steps = [
        transforms.RandomResizedCrop(SIZE, scale=SCALE),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    dataset = ImageFolder(str(root), transforms.Compose(steps))
    loader = DataLoader(dataset, batch, shuffle=True, **loader_options(workers, device))

    def run() -> None:
        for images, _ in loader:
            images.to(device, non_blocking=True)

    return run


def our_pass(root: Path, batch: int, workers: int, device: str, repeats: int = 1) -> Pass:
    """One epoch of ours; with repeats, of so many crops of each image."""
    transform = {"input_size": SIZE, "is_training": True, "scale": SCALE, "color_jitter": None}
    dataset = ImageDataset(str(root), transform, repeats=repeats)
    options = {"collate_fn": collate_views, **loader_options(workers, device)}
    loader = DataLoader(dataset, batch, shuffle=True, **options)
    mean, std = ([255 * v for v in values] for values in (MEAN, STD))
    normalize = Normalize(mean, std).to(device)

    def run() -> None:
        for data in loader:
            normalize(data)

    return run


def loader_options(workers: int, device: str) -> dict[str, object]:
    """Persistent workers, so that a pass does not pay for their start."""
    pinned = device == "cuda"
    return {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": pinned}


def packed(root: Path, short_side: int) -> Path:
    """The images as shards beside `root`, packed once."""
    out = root.with_name(f"{root.name}-packed-{short_side}")
    if not out.exists():
        pack(str(root), out, short_side)
    return out


def mean_size(root: Path) -> float:
    """Kilobytes an image."""
    sizes = [path.stat().st_size for path in root.rglob("*.jpg")]
    return sum(sizes) / len(sizes) / 1000


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--quality", type=int, default=95, help="of the JPEGs")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)  # a second one would only take time from the workers
    root = photos(arguments.images, arguments.quality)
    place = arguments.batch, arguments.workers, device
    passes = {
        "torchvision": (torchvision_pass(root, *place), 1),
        "ours, the same files": (our_pass(root, *place), 1),
        "ours, 2 crops of each": (our_pass(root, *place, repeats=2), 2),
        "ours, packed (short side 256)": (our_pass(packed(root, 256), *place), 1),
    }
    seconds = interleaved({name: run for name, (run, _) in passes.items()}, arguments.rounds)
    print(machine(device), "\n")
    print(f"{arguments.images} JPEGs of 500×375, {mean_size(root):.0f} kB on average, ")
    print(f"batch {arguments.batch}, {arguments.workers} workers\n")
    print("| loader | images/s | speed |")
    print("|---|---:|---:|")
    plain = arguments.images / seconds["torchvision"]
    for name, (_, crops) in passes.items():
        speed = crops * arguments.images / seconds[name]
        print(f"| {name} | {speed:.0f} | {speed / plain:.2f}× |")


if __name__ == "__main__":
    main()
