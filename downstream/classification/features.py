"""Frozen features, computed once for each encoder and data set."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import set_random_seed
from torch.utils.data import DataLoader

from downstream.classification.answers import kind_of, labels_of, names_of
from downstream.classification.labels import check_answers, check_labels
from downstream.classification.layers import (
    Columns,
    check_choice,
    has_best,
    layer_columns,
    pooled_of,
    strata_of,
)
from mae_core.agreement import outline
from mae_core.checkpoints import build_encoder, check_sizes
from mae_core.data.each import one_thread
from mae_core.data.images import ImageDataset, drawn_by
from mae_core.data.normalize import Normalize
from mae_core.data.roots import path_digest
from mae_core.data.shared_memory import workers_for
from mae_core.data.sources import data_digest, table_files
from mae_core.data.sources.base import Groups
from mae_core.data.sources.targets import Targets
from mae_core.data.state import data_state
from mae_core.encoders import Encoder
from mae_core.encoders.registry import encoder_class
from mae_core.errors import UserError
from mae_core.files import digest, replacing
from mae_core.for_encoder import with_encoder
from mae_core.kinds import DICT, check_kinds
from mae_core.locks import lock
from mae_core.names import has_file
from mae_core.source_code import code_digest
from mae_core.stage import THREADS, Reporter

SPLITS = ("train", "val")
ANY_KIND = ("knn", "linear-probe", "low-shot")  # the stages that need not have one class an image
CODE = code_digest([__name__])  # at this import: what is edited later is not what computes


@dataclass(frozen=True)
class Features:
    """Features of one split.

    Attributes:
        x: (N, D) float32, see :meth:`mae_core.encoders.Encoder.pooled`.
        y: (N,) int64, labels; of images that have no single class each (N, L) float32.
        classes: names of the labels.
        columns: of `x`, of each layer; with `layer='best'` of all, else of one.
        groups: of the images, or None.
        targets: of images that have no single class each.
    """

    x: torch.Tensor
    y: torch.Tensor
    classes: tuple[str, ...]
    columns: tuple[Columns, ...] = ()
    groups: Groups | None = None
    targets: Targets | None = None

    @property
    def kind(self) -> str:
        """Of what the images are labelled with."""
        return kind_of(self.targets)

    @property
    def strata(self) -> torch.Tensor:
        """(N,) int64, see :func:`strata_of`."""
        return torch.from_numpy(strata_of(self.y.numpy(), self.targets))

    def of_layer(self, number: int) -> "Features":
        """Those of one layer alone."""
        first, end = self.columns[number]
        return replace(self, x=self.x[:, first:end], columns=())

    def only(self, chosen: torch.Tensor) -> "Features":
        """Those of the images of a mask (N,)."""
        indices = np.flatnonzero(chosen.numpy())
        groups = None if self.groups is None else self.groups.only(indices)
        targets = None if self.targets is None else self.targets.only(indices)
        return replace(self, x=self.x[chosen], y=self.y[chosen], groups=groups, targets=targets)


def train_and_val_features(
    config: Config, encoder: str, work_dir: Path, reporter: Reporter
) -> tuple[Features, Features]:
    """As :func:`features_of`, of both splits."""
    train, val = features_of(("train", "val"), config, encoder, work_dir, reporter)
    return train, val


def features_of(
    splits: Sequence[str], config: Config, encoder: str, work_dir: Path, reporter: Reporter
) -> list[Features]:
    """Features of `config.train_data` ('train') or `config.val_data` ('val'), as `splits` asks.

    They are from the cache where it has them.
    The cache lies in `features/` beside the stages' folders. Its key covers the encoder's content
    (and the seed of a random one), the images' content, the transform, the pixels that
    :func:`with_encoder` finds, the pooling, the layer, the code, and what decides in which order
    floats are added: the batch and the threads.
    What was computed while the images changed is used, but not kept.

    Raises:
        UserError: as :func:`check_features`; if features are not finite.
    """
    config = with_encoder(config, encoder, reporter)
    datasets = dict(zip(SPLITS, check_features(config, encoder), strict=True))
    files = dict(zip(SPLITS, feature_files(config, encoder, work_dir), strict=True))
    files["train"].parent.mkdir(exist_ok=True)
    columns = tuple(check_pool(config))
    model: Encoder | None = None
    found = []
    for split in splits:
        file, dataset = files[split], datasets[split]
        with open(file.with_suffix(".lock"), "w") as handle:
            lock(handle)
            stored = read_features(file)
            if stored is None:
                before = inputs_state(config, encoder)
                model = model or frozen_encoder(config, encoder)
                stored = extract(model, dataset, config, reporter), labels_of(dataset)
                check_finite(stored[0], encoder, split)
                path_digest.cache_clear()
                same = file in feature_files(config, encoder, work_dir)
                if same and inputs_state(config, encoder) == before:
                    write_features(file, *stored)
        groups, names = dataset.source.groups, tuple(names_of(dataset))
        found.append(Features(*stored, names, columns, groups, dataset.targets))
    return found


def features_cached(config: Config, encoder: str, work_dir: Path) -> bool:
    """Whether the stage has no features to compute."""
    files = dict(zip(SPLITS, feature_files(config, encoder, work_dir), strict=True))
    return all(files[split].exists() for split in splits_used(config))


def splits_used(config: Config) -> tuple[str, ...]:
    """Those whose features the stage needs.

    Few-shot, and retrieval among val images, look at train images to standardize, or to choose a
    layer, only.
    """
    val_alone = config.stage == "few-shot" or config.get("gallery") == "val"
    needs_train = not val_alone or config.get("standardize") or has_best(config)
    return SPLITS if needs_train else SPLITS[1:]


def feature_files(config: Config, encoder: str, work_dir: Path) -> list[Path]:
    """Entries of the cache for the train and the val images."""
    config = with_encoder(config, encoder)
    return [
        work_dir.parent / "features" / f"{feature_key(config, encoder, data)}.npz"
        for data in splits_of(config)
    ]


def splits_of(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of the data sets of train and val images."""
    return drawn_by(config.seed, config.train_data), dict(config.val_data)


def check_features(config: Config, encoder: str) -> tuple[ImageDataset, ImageDataset]:
    """The train and val images, checked without reading any.

    Raises:
        UserError: if train and val are labelled differently, a class has no image in one of them,
            the stage needs one class an image and they have none, the encoder's file has other
            sizes than the config, `pool` or `layer` is none of the encoder's, or the stage cannot
            choose a layer.
    """
    check_kinds(config, {"train_data": DICT, "val_data": DICT})  # which other stages may lack
    config = with_encoder(config, encoder)
    check_sizes(config.encoder, encoder)
    check_pool(config)
    train, val = (ImageDataset(**data) for data in splits_of(config))
    check = check_answers if config.get("stage") in ANY_KIND else check_labels
    check(train, val)
    check_choice(config, train)
    return train, val


def check_pool(config: Config) -> list[Columns]:
    """As :func:`layer_columns`. Raises UserError if the encoder has no such pooling or layer."""
    return layer_columns(config, outline(config.encoder))


def frozen_encoder(config: Config, encoder: str) -> Encoder:
    """The encoder on the device, in evaluation."""
    set_random_seed(config.seed)
    return build_encoder(config.encoder, encoder).to(get_device()).eval()


def feature_key(config: Config, encoder: str, data: dict[str, Any]) -> str:
    """Name of the cache entry: everything that the features of :func:`with_encoder`'s depend on."""
    source = digest(encoder) if has_file(encoder) else f"{encoder}-{config.seed}"
    content = [
        source,
        digests_of(data),
        data,
        config.encoder,
        config.pixels,
        config.pool,
        [config.batch_size, config.get("threads", THREADS)],  # the order of sums
        [CODE, family_code(config.encoder["arch"])],
    ]
    if config.get("layer") is not None:
        content.append(["layer", config.layer])
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def digests_of(data: dict[str, Any]) -> list[str]:
    """Of the images of a data set, and of the list that chooses among them."""
    found = [data_digest(data["data"], data.get("columns"), data.get("root"))]
    return found + ([data_digest(data["names_in"])] if data.get("names_in") else [])


@lru_cache
def family_code(arch: str) -> str:
    """Hash of the code of an encoder's family, which may lie outside of ours."""
    return code_digest([encoder_class(arch).__module__])


def inputs_state(config: Config, encoder: str) -> str:
    """Changes with every write to the encoder's file and the images, see :func:`data_state`."""
    paths = [str(Path(encoder).absolute())] if has_file(encoder) else []
    tables = []
    for data in (config.train_data, config.val_data):
        paths += [data[key] for key in ("data", "names_in") if data.get(key)]
        tables.append(table_files(data["data"], data.get("columns"), data.get("root")))
    return data_state(paths, filter(None, tables))


@torch.inference_mode()
def extract(
    model: Encoder, dataset: ImageDataset, config: Config, reporter: Reporter
) -> torch.Tensor:
    """(N, D) float32 on the CPU: the pooled features of all images, in their order."""
    weight = next(model.parameters(), None)  # trivial encoders have none
    device = torch.device(get_device()) if weight is None else weight.device
    normalize = Normalize(**config.pixels).to(device)
    loader = DataLoader(
        dataset,
        config.batch_size,
        num_workers=workers_for(dataset, config.batch_size, config.num_workers, reporter.note),
        pin_memory=device.type == "cuda",
        worker_init_fn=one_thread,
    )
    x = torch.empty(len(dataset), layer_columns(config, model)[-1][1])
    done, behind = 0, None  # a batch is fetched when the next one is under way
    for batch in loader:
        images = normalize.images(batch["inputs"].to(device, non_blocking=True))
        rows = pooled_of(config, model, images)
        done = fetch(behind, x, done)
        behind = rows
        reporter.progress(done, len(dataset), "image")
    reporter.progress(fetch(behind, x, done), len(dataset), "image")
    return x


def check_finite(x: torch.Tensor, encoder: str, split: str) -> None:
    """Raise UserError if a feature (N, D) is no number: what is measured on it means nothing."""
    odd = int((~x.isfinite().all(dim=1)).sum())
    if odd:
        raise UserError(
            f"{encoder} gives features that are not finite for {odd} of {len(x)} {split} images: "
            "its weights are damaged, or its features overflow: take other weights, or leave this "
            "encoder out"
        )


def fetch(rows: torch.Tensor | None, x: torch.Tensor, done: int) -> int:
    """Copy rows to `x` from `done` on; how many are done then."""
    if rows is None:
        return done
    x[done : done + len(rows)] = rows.float()
    return done + len(rows)


def read_features(file: Path) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Features and labels of a cache file, None if it is missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return torch.from_numpy(stored["x"]), torch.from_numpy(stored["y"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def write_features(file: Path, x: torch.Tensor, y: torch.Tensor) -> None:
    """Write a cache file, whole or not at all."""
    with replacing(file) as part, part.open("wb") as content:
        np.savez(content, x=x.numpy(), y=y.numpy())
