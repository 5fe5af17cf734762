"""Frozen features, computed once for each encoder and data set."""

import fcntl
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import set_random_seed
from torch.utils.data import DataLoader

from mae_core.checkpoints import build_encoder, digest
from mae_core.data.images import ImageDataset
from mae_core.data.sources import NO_LABEL, data_digest
from mae_core.encoder import ViTEncoder
from mae_core.engine.preprocess import Normalize
from mae_core.errors import UserError
from mae_core.stage import Reporter


@dataclass(frozen=True)
class Features:
    """Features of one split.

    Attributes:
        x: (N, width) float32.
        y: (N,) int64, labels.
        classes: names of the labels.
    """

    x: torch.Tensor
    y: torch.Tensor
    classes: tuple[str, ...]


def train_and_val_features(
    config: Config, encoder: str, work_dir: Path, reporter: Reporter
) -> tuple[Features, Features]:
    """Features of `config.train_data` and `config.val_data`, from the cache where it has them.

    The cache lies in `features/` beside the stages' folders. Its key covers the encoder's content
    (and the seed of a random one), the images' content, the transform and the pooling.

    Raises:
        UserError: if train and val have different classes, or images have none.
    """
    set_random_seed(config.seed)
    model = build_encoder(config.encoder, encoder)
    model.to(get_device()).eval()
    cache = work_dir.parent / "features"
    cache.mkdir(exist_ok=True)
    sets = config.train_data, config.val_data
    datasets = [ImageDataset(**data) for data in sets]
    check_labels(*datasets)
    splits = []
    for data, dataset in zip(sets, datasets, strict=True):
        file = cache / f"{feature_key(config, encoder, data)}.npz"
        with open(file.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                _extract(model, dataset, config, file, reporter)
        stored = np.load(file)
        x, y = torch.from_numpy(stored["x"]), torch.from_numpy(stored["y"])
        splits.append(Features(x, y, tuple(dataset.classes)))
    train, val = splits
    return train, val


def check_labels(train: ImageDataset, val: ImageDataset) -> None:
    """Raise UserError unless all images have labels, of the same classes in both sets."""
    for dataset in (train, val):
        unlabelled = np.flatnonzero(dataset.labels == NO_LABEL)
        if len(unlabelled):
            name = dataset.source.name(int(unlabelled[0]))
            raise UserError(
                f"{name} has no label, like {len(unlabelled)} of {len(dataset)} images: "
                "this stage needs images in class folders, or with labels"
            )
    if train.classes != val.classes:
        odd = sorted(set(train.classes) ^ set(val.classes))
        raise UserError(f"train and val have different classes: {', '.join(odd)} only in one")


def feature_key(config: Config, encoder: str, data: dict[str, Any]) -> str:
    """Name of the cache entry: everything that the features depend on."""
    source = f"random-{config.seed}" if encoder == "random" else digest(encoder)
    content = [
        source,
        [data_digest(data[key]) for key in ("data", "names_in") if data.get(key)],
        data,
        config.encoder,
        config.pixels,
        config.pool,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def pool_tokens(tokens: torch.Tensor, pool: str) -> torch.Tensor:
    """(N, 1 + L, D) -> (N, D): 'avg' over patches, or the 'cls' token."""
    return tokens[:, 1:].mean(dim=1) if pool == "avg" else tokens[:, 0]


@torch.inference_mode()
def _extract(
    model: ViTEncoder, dataset: ImageDataset, config: Config, file: Path, reporter: Reporter
) -> None:
    device = next(model.parameters()).device
    normalize = Normalize(**config.pixels).to(device)
    rows: list[torch.Tensor] = []
    done = 0
    for batch in DataLoader(dataset, config.batch_size, num_workers=config.num_workers):
        tokens = model(normalize.images(batch["inputs"].to(device)))
        rows.append(pool_tokens(tokens, config.pool).float().cpu())
        done += len(batch["inputs"])
        reporter.progress(done, len(dataset), "image")
    temporary = file.with_suffix(".part.npz")
    np.savez(temporary, x=torch.cat(rows).numpy(), y=dataset.labels)
    temporary.replace(file)
