"""A pretraining step of ours against transformers' ViTMAE: speed, utilisation, memory.

    python -m benchmarks.pretrain_throughput --sizes base --batch 16 --precisions fp32 bf16

Same process, same weights, images, precision and optimizer (fused AdamW), interleaved rounds,
medians. Memory is measured in a process of its own for each variant.
"""

import argparse
import json
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from benchmarks.measure import (
    DTYPES,
    interleaved,
    machine,
    matmul_peak,
    own_peak,
    peak_memory,
    resident,
)
from mae_core import create_model
from mae_core.convert import hf_config
from mae_core.methods.mae import MAE

SIZES = {
    "tiny": "vit-tiny-p16",
    "small": "vit-small-p16",
    "base": "vit-base-p16",
    "large": "vit-large-p16",
    "huge": "vit-huge-p14",
}
VARIANTS = ("transformers", "ours, eager", "ours, compiled")


def build(variant: str, size: str, device: str) -> nn.Module:
    """The model of a variant, on the device, ready to train."""
    torch.manual_seed(0)
    ours = create_model(SIZES[size])
    if variant == "transformers":
        return transformers_model(ours).to(device).train()
    ours = ours.to(device).train()
    if variant == "ours, compiled":
        ours.compile()
    return ours


def transformers_model(ours: MAE) -> ViTMAEForPreTraining:
    """transformers' model of the same size."""
    fields = hf_config(ours.state_dict(), {"encoder": ours.encoder.config, "mae": ours.config})
    fields = {k: v for k, v in fields.items() if k not in ("architectures", "model_type")}
    return ViTMAEForPreTraining(ViTMAEConfig(**fields))


def training_step(
    model: nn.Module, images: torch.Tensor, precision: str, fused: bool = True
) -> Callable[[], torch.Tensor]:
    """Forward, backward and update, as a function without arguments."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, betas=(0.9, 0.95), fused=fused)
    autocast = precision == "bf16"

    def step() -> torch.Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=autocast):
            loss = model(images).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


def flops_per_image(size: str) -> float:
    """Multiply-adds, counted as two, of forward and backward; counted on tensors without data."""
    with torch.device("meta"):
        model, images = create_model(SIZES[size]), torch.empty(1, 3, 224, 224)
    without_sdpa(model)  # the counter sees plain matrix products
    with FlopCounterMode(display=False) as counter:
        model(images).loss.backward()
    return counter.get_total_flops()


def without_sdpa(model: MAE) -> MAE:
    """The model with attention as matrix products and a softmax."""
    for block in (*model.encoder.blocks, *model.decoder.blocks):
        block.attn.fused_attn = False
    return model


def measure(
    variants: Sequence[str], size: str, batch: int, precision: str, rounds: int, device: str
) -> None:
    """Print the rows of one size and precision."""
    images = torch.randn(batch, 3, 224, 224, device=device)
    steps = {v: training_step(build(v, size, device), images, precision) for v in variants}
    seconds = interleaved(steps, rounds)
    peak, flops = matmul_peak(device, DTYPES[precision]), flops_per_image(size)
    del steps
    for variant in variants:
        speed = batch / seconds[variant]
        ratio = seconds[variants[0]] / seconds[variant]
        job = json.dumps({"size": size, "batch": batch, "precision": precision, "of": variant})
        memory = peak_memory("benchmarks.pretrain_throughput", "--memory-of", job)
        print(
            f"| {size} | {precision} | {batch} | {variant} | {speed:.2f} | {ratio:.2f}× "
            f"| {speed * flops / peak:.0%} | {memory:.2f} |",
            flush=True,
        )


def memory_of(size: str, batch: int, precision: str, of: str) -> None:
    """Print the peak memory of two steps of one variant."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    before = resident()
    step = training_step(
        build(of, size, device), torch.randn(batch, 3, 224, 224, device=device), precision
    )
    step()
    step()
    print(own_peak(before))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--sizes", nargs="+", default=["base"], choices=SIZES)
    parser.add_argument("--precisions", nargs="+", default=list(DTYPES), choices=DTYPES)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-of", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        return memory_of(**arguments.memory_of)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(machine(device), "\n")
    print("| size | precision | batch | step | images/s | speed | FLOP use | peak GiB |")
    print("|---|---|---:|---|---:|---:|---:|---:|")
    for size in arguments.sizes:
        for precision in arguments.precisions:
            measure(arguments.variants, size, arguments.batch, precision, arguments.rounds, device)
    return None


if __name__ == "__main__":
    main()
