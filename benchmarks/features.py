"""Images per second of feature extraction beside the bare encoder's forward pass, in one run.

python -m benchmarks.features --encoder vit-micro-p6 --size 30
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from benchmarks.measure import interleaved, machine
from downstream.classification.features import extract
from mae_core.data.images import ImageDataset
from mae_core.data.normalize import Normalize
from mae_core.encoders import Encoder, create_encoder
from mae_core.stage import SilentReporter

PIXELS = {"mean": [127.5] * 3, "std": [64.0] * 3}


def write_images(folder: Path, size: int, count: int) -> None:
    """Smooth random JPEGs of one class."""
    rng = np.random.default_rng(0)
    (folder / "class").mkdir()
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((size, size)).save(folder / "class" / f"{i}.jpg", quality=90)


@torch.inference_mode()
def forward(model: Encoder, batches: list[torch.Tensor]) -> None:
    """The encoder alone on batches that are ready."""
    for batch in batches:
        model(batch)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="vit-micro-p6")
    parser.add_argument("--size", type=int, default=30, help="pixels a side")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = create_encoder(arguments.encoder, img_size=arguments.size).to(device).eval()
    config = Config(
        {
            "batch_size": arguments.batch,
            "num_workers": arguments.workers,
            "pixels": PIXELS,
            "pool": "avg",
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), arguments.size, arguments.images)
        images = ImageDataset(folder, {"input_size": arguments.size, "crop_pct": 1.0})
        pixels = torch.stack([images[i]["inputs"] for i in range(len(images))])
        batches = list(Normalize(**PIXELS).images(pixels).to(device).split(arguments.batch))
        seconds = interleaved(
            {
                "bare forward": lambda: forward(model, batches),
                "extraction": lambda: extract(model, images, config, SilentReporter()),
            },
            arguments.rounds,
        )
    print(machine(device))
    print("\n| | images/s | share |\n|---|---:|---:|")
    for name, value in seconds.items():
        speed, share = arguments.images / value, seconds["bare forward"] / value
        print(f"| {name} | {speed:.0f} | {share:.0%} |")


if __name__ == "__main__":
    main()
