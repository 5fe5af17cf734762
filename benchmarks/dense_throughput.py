"""Training steps of our dense backbone and detector beside mmseg's and mmdet's own.

    python -m benchmarks.dense_throughput --size base --pixels 512 --batch 2

Backbones: mmseg's MAE backbone and ours, four maps of the same images, global attention; ours also
as ViTDet has it. Detectors: mmdet's Swin-T Mask R-CNN, and ViTDet's with the encoder that is about
as large. Interleaved rounds in one process, medians; memory in a process of its own each.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mmdet.models
import mmseg.models
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

import downstream.dense.pyramid  # noqa: F401  registers
from benchmarks.measure import interleaved, machine, own_peak, peak_memory, resident
from downstream.dense.backbone import MAEViT, place_encoder
from downstream.detection.precision import keep_boxes_exact
from mae_core.config import load_config
from mae_core.encoders import create_encoder

BACKBONES = ("mmseg's MAE", "ours", "ours, windows", "ours, windows and relative positions")
DETECTORS = ("mmdet's Swin-T Mask R-CNN", "ours, ViT-S Mask R-CNN")
SWIN = Path(mmdet.__file__).parent / ".mim/configs/swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py"
VITDET = "detect/mask-rcnn_vit-base-p16_8xb8-amp-lsj-100e_coco"
INSTANCES, CLASSES = 7, 80  # of an image, and in all; COCO's
ROUNDS = 5


def backbone(variant: str, size: str, pixels: int) -> nn.Module:
    """A backbone of four maps, ready to train."""
    torch.manual_seed(0)
    fields: dict[str, Any] = {"arch": f"vit-{size}-p16", "drop_path": 0.1}
    encoder = create_encoder(**fields)
    depth = encoder.depth
    layers = [depth // 3 - 1, depth // 2 - 1, 2 * depth // 3 - 1, depth - 1]
    if variant != BACKBONES[0]:
        options: dict[str, Any] = {}
        if "windows" in variant:
            blocks = [depth * part // 4 - 1 for part in range(1, 5)]
            options |= {"window": 14, "global_blocks": blocks}
        if "relative" in variant:
            options["relative_grid"] = pixels // 16
        return MAEViT(fields, "random", layers, **options)
    model = mmseg.models.backbones.MAE(
        img_size=pixels,
        embed_dims=encoder.width,
        num_layers=depth,
        num_heads=encoder.config["heads"],
        init_values=1.0,
        drop_path_rate=0.1,
        out_indices=layers,
    )
    model.init_weights()
    return model


def detector(variant: str, size: str, pixels: int) -> nn.Module:
    """A detector for COCO's classes, ready to train."""
    torch.manual_seed(0)
    init_default_scope("mmdet")
    if variant == DETECTORS[0]:
        config = Config.fromfile(str(SWIN))
        config.model.backbone.init_cfg = None
        return mmdet.registry.MODELS.build(config.model)
    config = load_config(VITDET)
    config.encoder.arch = "vit-small-p16"
    place_encoder(config, "random")
    for head in (config.model.roi_head.bbox_head, config.model.roi_head.mask_head):
        head.num_classes = CLASSES
    config.model.test_cfg.rcnn.max_per_img = 100
    model: nn.Module = mmdet.registry.MODELS.build(config.model)
    keep_boxes_exact(model)
    return model


def samples(pixels: int, batch: int) -> list[DetDataSample]:
    """Made-up instances for each image."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(batch):
        corners = rng.uniform(0, pixels * 0.7, (INSTANCES, 2))
        sides = rng.uniform(pixels * 0.05, pixels * 0.3, (INSTANCES, 2))
        boxes = torch.tensor(np.concatenate([corners, corners + sides], axis=1)).float()
        masks = np.zeros((INSTANCES, pixels, pixels), dtype=np.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
            mask[top:bottom, left:right] = 1
        instances = InstanceData(
            bboxes=boxes,
            labels=torch.from_numpy(rng.integers(0, CLASSES, INSTANCES)),
            masks=BitmapMasks(masks, pixels, pixels),
        )
        shape = (pixels, pixels)
        sizes = {"img_shape": shape, "ori_shape": shape, "pad_shape": shape}
        sample = DetDataSample(metainfo={**sizes, "batch_input_shape": shape})
        sample.gt_instances = instances
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0))
        found.append(sample)
    return found


def training_step(
    variant: str, size: str, pixels: int, batch: int, precision: str, device: str
) -> Callable[[], Tensor]:
    """Forward, backward and update, as a function without arguments."""
    build = backbone if variant in BACKBONES else detector
    model = build(variant, size, pixels).to(device)
    model.train()
    images = torch.randn(batch, 3, pixels, pixels, device=device)
    truth = [sample.to(device) for sample in samples(pixels, batch)]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=True)

    def step() -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            if variant in BACKBONES:
                loss = sum(out.float().square().mean() for out in model(images))
            else:
                losses = model.loss(images, truth)
                loss = sum(
                    sum(v) if isinstance(v, list) else v for k, v in losses.items() if "loss" in k
                )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


def measure(variants: Sequence[str], job: dict[str, Any], rounds: int) -> None:
    """Print a row for each variant."""
    steps = {variant: training_step(variant, **job) for variant in variants}
    seconds = interleaved(steps, rounds)
    del steps
    for variant in variants:
        memory = peak_memory(
            "benchmarks.dense_throughput", "--memory-of", json.dumps({"variant": variant, **job})
        )
        speed, ratio = job["batch"] / seconds[variant], seconds[variants[0]] / seconds[variant]
        row = f"{variant} | {job['pixels']} | {job['precision']} | {speed:.2f} | {ratio:.2f}×"
        print(f"| {row} | {memory:.2f} |", flush=True)


def memory_of(job: dict[str, Any]) -> None:
    """Print the peak memory of two steps of one variant."""
    before = resident()
    step = training_step(**job)
    step()
    step()
    print(own_peak(before))


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="base", choices=("tiny", "small", "base", "large"))
    parser.add_argument("--pixels", type=int, default=512)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--of", nargs="+", default=[*BACKBONES, *DETECTORS])
    parser.add_argument("--memory-of", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        return memory_of(arguments.memory_of)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    fields = ("size", "pixels", "batch", "precision")
    job = {"device": device, **{field: getattr(arguments, field) for field in fields}}
    print(machine(device), "\n")
    print(f"backbones of size {arguments.size}, batch {arguments.batch}\n")
    print("| training step | pixels | precision | images/s | speed | peak GiB |")
    print("|---|---:|---|---:|---:|---:|")
    for group in (BACKBONES, DETECTORS):
        chosen = [variant for variant in group if variant in arguments.of]
        if chosen:
            measure(chosen, job, arguments.rounds)
    return None


if __name__ == "__main__":
    main()
