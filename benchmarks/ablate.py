"""What each speed choice of the pretraining step is worth: one undone, or added, at a time.

    python -m benchmarks.ablate --size base --batch 16

Interleaved rounds in one process; the speed is relative to the step as shipped, in eager mode.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measure import interleaved, machine
from benchmarks.pretrain_throughput import SIZES, training_step, without_sdpa
from mae_core import create_model
from mae_core.encoders.vit import ViTEncoder
from mae_core.methods.mae import MAE
from mae_core.patches import gather_patches


class EmbedsAll(ViTEncoder):
    """Embeds every patch with a linear layer, then drops the masked ones."""

    def embed(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """As the encoder's, the slower way."""
        tokens = super().embed(images)
        if keep is None:
            return tokens
        return torch.cat([tokens[:, :1], gather_patches(tokens[:, 1:], keep)], dim=1)


class Convolves(EmbedsAll):
    """Embeds every patch with a convolution, then drops the masked ones."""

    def embed(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """As the encoder's, the slower way."""
        tokens = self.patch_embed(images) + self.pos_embed[:, 1:]
        if keep is not None:
            tokens = gather_patches(tokens, keep)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        return torch.cat([first.to(tokens.dtype), tokens], dim=1)


def embedding_as(kind: type[ViTEncoder]) -> Callable[[MAE], MAE]:
    """Give the model's encoder another embedding."""

    def change(model: MAE) -> MAE:
        model.encoder.__class__ = kind
        return model

    return change


def compiled(model: MAE) -> MAE:
    """The model with a compiled forward pass."""
    model.compile()
    return model


CHOICES: dict[str, Callable[[MAE], MAE]] = {
    "as shipped, eager": lambda model: model,
    "all patches embedded, linear": embedding_as(EmbedsAll),
    "all patches embedded, convolution": embedding_as(Convolves),
    "attention without SDPA": without_sdpa,
    "torch.compile": compiled,
}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="base", choices=SIZES)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = torch.randn(arguments.batch, 3, 224, 224, device=device)

    def model(**fields: float) -> MAE:
        return create_model(SIZES[arguments.size], **fields).to(device).train()

    steps = {
        name: training_step(change(model()), images, "fp32") for name, change in CHOICES.items()
    }
    steps["AdamW not fused"] = training_step(model(), images, "fp32", fused=False)
    steps["a quarter of the masked decoded"] = training_step(
        model(decode_ratio=0.25), images, "fp32"
    )
    steps["bf16"] = training_step(model(), images, "bf16")
    seconds = interleaved(steps, arguments.rounds)
    shipped = seconds["as shipped, eager"]
    print(machine(device), "\n")
    print(f"{arguments.size}, batch {arguments.batch}, fp32 unless said\n")
    print("| step | s | speed |\n|---|---:|---:|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} | {shipped / value:.2f}× |")


if __name__ == "__main__":
    main()
