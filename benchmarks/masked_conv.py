"""Seconds of a training step of a ConvNet of timm, whole and masked, in one run.

python -m benchmarks.masked_conv --model convnextv2_atto --size 224
"""

import argparse

import torch
from torch import Tensor

from benchmarks.measure import interleaved, machine
from mae_core.encoders import Encoder, create_encoder
from mae_core.masking import mask_patches
from mae_core.methods.masked_layers import Visible, check_layers, masked
from mae_core.patches import grid_size


def dense(encoder: Encoder, images: Tensor) -> None:
    """Forward and backward of timm's model."""
    encoder.zero_grad()
    encoder(images).square().mean().backward()


def sparse(encoder: Encoder, images: Tensor, mask_ratio: float) -> None:
    """The same with masks, drawn anew as each step does."""
    grid = grid_size(*encoder.img_size, encoder.strides[-1])
    noise = torch.rand(len(images), grid[0] * grid[1], device=images.device)
    visible = Visible(mask_patches(noise, grid, mask_ratio).mask.unflatten(1, grid) == 0)
    encoder.zero_grad()
    with masked(encoder, visible):
        encoder(visible.only(images)).square().mean().backward()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="convnextv2_atto", help="timm's name")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--ratio", type=float, default=0.6, help="share of masked patches")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = create_encoder(f"timm:{arguments.model}", img_size=arguments.size).to(device)
    check_layers(encoder.get_submodule("model"), "this benchmark")
    images = torch.randn(arguments.batch, 3, *encoder.img_size, device=device)
    seconds = interleaved(
        {
            "timm's own": lambda: dense(encoder, images),
            "masked": lambda: sparse(encoder, images, arguments.ratio),
        },
        arguments.rounds,
    )
    print(machine(device))
    print("\n| | seconds | times timm's own |\n|---|---:|---:|")
    first = seconds["timm's own"]
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} | {value / first:.2f} |")


if __name__ == "__main__":
    main()
