"""Test a fine-tuned classifier on other sets of images than it was trained with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch.utils.data import DataLoader

from downstream.classification.classifier import Classifier
from downstream.classification.imagenet import (
    CorruptionGrid,
    columns_of,
    corruption_errors,
    corruption_grid,
)
from downstream.classification.load import load_classifier
from downstream.outcomes import Grouped, in_groups, save_outcomes
from downstream.parts import PartReporter
from downstream.statistics import mean, share
from mae_core.data.images import READING, ImageDataset
from mae_core.data.shared_memory import workers_for
from mae_core.data.sources import NO_LABEL
from mae_core.data.sources.base import labels_by_name
from mae_core.errors import UserError, check_fields
from mae_core.for_encoder import with_encoder
from mae_core.names import has_file
from mae_core.stage import Metric, Reporter, StageResult

OF_SET = ("name", "data", "transform", "subset", "corrupted")  # keys of an entry of `sets`
OF_DATA = (*READING, "names_in", "part", "per_class", "seed", "bits")  # and of its images


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Top-1 on each of `config.sets`; metrics `evaluate/<name>`, for corruptions `evaluate/mCE`.

    Args:
        config: `sets`, a list of dicts of `name` and `data`; with `transform` what is other for
            this set than in the config's own; with the keys :data:`OF_DATA`, as in a data set;
            with `subset=True` only the classes that the set has compete, as is usual for
            ImageNet-A and -R; with `corrupted=True` its images lie under
            <corruption>/<severity>/<class>/, and all copies of an image are one case.
        encoder: a classifier, see :func:`load_classifier`.
        work_dir: for the cases' outcomes.
        reporter: gets progress.

    Raises:
        UserError: if a set has classes that the classifier does not know, or lacks some.
    """
    config = with_encoder(config, encoder, reporter)
    model, classes = load_classifier(encoder, config.encoder, config.pixels)
    model.to(get_device()).eval()
    outcomes: dict[str, torch.Tensor | Grouped] = {}
    metrics: dict[str, Metric] = {}
    for number, entry in enumerate(config.sets):
        images = open_set(entry, config)
        columns = set_columns(images, classes, entry)
        part = PartReporter(reporter, entry["name"], number, len(config.sets))
        correct = classify(model, images, columns, config, part)
        if entry.get("corrupted"):  # a case is no yes or no
            found = of_sources(images, correct, entry["name"])
            metrics |= {name: mean(cases) for name, cases in found.items()}
            outcomes |= found
        else:
            name = f"evaluate/{entry['name']}"
            outcomes[name] = in_groups(correct, images.source.groups)
            metrics[name] = share(outcomes[name])
    return StageResult(metrics, artifacts=save_outcomes(work_dir, outcomes))


def check(config: Config, encoder: str) -> None:
    """Raise UserError if a set is missing, is not labelled, or does not go with the classifier."""
    classes = None
    if has_file(encoder):
        config = with_encoder(config, encoder)
        _, classes = load_classifier(encoder, config.encoder, config.pixels)
    check_names(config.sets)
    for entry in config.sets:
        images = open_set(entry, config)
        if (images.labels == NO_LABEL).any():
            raise UserError(f"{entry['data']} has images without a class")
        if entry.get("corrupted"):
            grid_of(images)
        if classes is not None:
            set_columns(images, classes, entry)


def check_names(sets: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError unless each set has data and a name of its own, and no key means nothing."""
    for entry in sets:
        text = all(isinstance(entry.get(key), str) and entry[key] for key in ("name", "data"))
        if not text or "/" in entry["name"]:
            raise UserError(f"sets has {dict(entry)}: expected name, without '/', and data, texts")
        check_fields(entry, (*OF_SET, *OF_DATA), f"set '{entry['name']}'")
    names = [entry["name"] for entry in sets]
    if twice := sorted({str(name) for name in names if names.count(name) > 1}):
        raise UserError(f"sets has {', '.join(twice)} more than once: give each its own name")


def open_set(entry: dict[str, Any], config: Config) -> ImageDataset:
    """The images of an entry of `config.sets`; each corruption has folders of the same classes."""
    channels = config.encoder.get("in_chans", 3)
    transform = {**config.transform, **entry.get("transform", {})}
    chosen = {key: entry[key] for key in OF_DATA if key in entry}
    images = ImageDataset(entry["data"], transform, in_chans=channels, **chosen)
    if entry.get("corrupted"):
        names = [name.rpartition("/")[2] for name in images.classes]
        names.append("")  # of NO_LABEL, which as -1 is the last
        images.classes, images.labels = labels_by_name([names[label] for label in images.labels])
    return images


def set_columns(images: ImageDataset, classes: list[str], entry: dict[str, Any]) -> torch.Tensor:
    """(C,) int64: the classifier's label of each class of the set."""
    columns = columns_of(images.classes, classes, entry["data"])
    if len(columns) < len(classes) and not entry.get("subset"):
        raise UserError(
            f"{entry['data']} has {len(columns)} of the classifier's {len(classes)} classes: "
            "images are missing, or set subset=True to let only those compete"
        )
    return torch.tensor(columns)


@torch.inference_mode()
def classify(
    model: Classifier,
    images: ImageDataset,
    columns: torch.Tensor,
    config: Config,
    reporter: Reporter,
) -> torch.Tensor:
    """(N,) bool: which images get the highest logit, among `columns`, for their own class."""
    device = next(model.parameters()).device
    columns, found, done = columns.to(device), [], 0
    workers = workers_for(images, config.batch_size, config.num_workers, reporter.note)
    loader = DataLoader(images, config.batch_size, num_workers=workers)
    for batch in loader:
        data = model.data_preprocessor({k: batch[k] for k in ("inputs", "label")})
        logits = model(**data)[:, columns]
        found.append((logits.argmax(dim=1) == data["label"]).cpu())
        done += len(found[-1])
        reporter.progress(done, len(images), "image")
    return torch.cat(found)


def grid_of(images: ImageDataset) -> CorruptionGrid:
    """Which of corrupted images are copies of the same one.

    Raises:
        UserError: as :func:`corruption_grid`, or if copies of an image are of different groups.
    """
    grid = corruption_grid(images.source.name(i) for i in range(len(images)))
    groups = images.source.groups
    if groups is None:
        return grid
    of = groups.of[grid.places]
    for corruption, severity, image in np.argwhere(of != of[0, 0]):
        copies = grid.places[0, 0, image], grid.places[corruption, severity, image]
        one, other = map(images.source.name, copies)
        raise UserError(
            f"{one} and {other} are copies of one image in two groups: expected a `group` that "
            "all copies of an image share"
        )
    return grid


def of_sources(
    images: ImageDataset, correct: torch.Tensor, name: str
) -> dict[str, torch.Tensor | Grouped]:
    """Outcomes of corrupted images by metric, (N,) float, one case for each source image.

    All copies of an image are one case: `evaluate/<name>` is the share of them that are right,
    `evaluate/c_<corruption>` of those of a corruption, `evaluate/mCE` see
    :func:`corruption_errors`. Resampling the cases is a bootstrap of clusters.
    """
    names, places = grid_of(images)
    right = correct.numpy()[places].mean(axis=1)  # (C, N), over severities
    rows = dict(zip(names, right, strict=True))
    found = {f"evaluate/{name}": right.mean(axis=0)}
    found["evaluate/mCE"] = corruption_errors({key: 1 - row for key, row in rows.items()})
    found |= {f"evaluate/c_{key}": rows[key] for key in sorted(rows)}
    groups = images.source.groups
    groups = None if groups is None else groups.only(places[0, 0])  # all copies have the same
    return {key: in_groups(torch.from_numpy(value), groups) for key, value in found.items()}
