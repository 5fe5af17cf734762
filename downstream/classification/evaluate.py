"""Test a fine-tuned classifier on other sets of images than it was trained with."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch.utils.data import DataLoader

from downstream.classification.classifier import Classifier
from downstream.classification.imagenet import columns_of, mean_corruption_error
from downstream.classification.load import load_classifier
from downstream.outcomes import save_outcomes
from downstream.parts import PartReporter
from downstream.statistics import share
from mae_core.data.images import ImageDataset
from mae_core.data.shared_memory import workers_for
from mae_core.data.sources import NO_LABEL
from mae_core.data.sources.base import labels_by_name
from mae_core.errors import UserError
from mae_core.pixels import with_pixels
from mae_core.stage import Metric, Reporter, StageResult


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Top-1 on each of `config.sets`; metrics `evaluate/<name>`, for corruptions `evaluate/mCE`.

    Args:
        config: `sets`, a list of dicts of `name` and `data`; with `subset=True` only the classes
            that the set has compete, as is usual for ImageNet-A and -R; with `corrupted=True` its
            images lie under <corruption>/<severity>/<class>/.
        encoder: a classifier, see :func:`load_classifier`.
        work_dir: for the cases' outcomes.
        reporter: gets progress.

    Raises:
        UserError: if a set has classes that the classifier does not know, or lacks some.
    """
    config = with_pixels(config, encoder, reporter)
    model, classes = load_classifier(encoder, config.encoder, config.pixels)
    model.to(get_device()).eval()
    outcomes: dict[str, torch.Tensor] = {}
    metrics: dict[str, Metric] = {}
    for number, entry in enumerate(config.sets):
        images = open_set(entry, config)
        columns = set_columns(images, classes, entry)
        part = PartReporter(reporter, entry["name"], number, len(config.sets))
        correct = classify(model, images, columns, config, part)
        outcomes[f"evaluate/{entry['name']}"] = correct
        if entry.get("corrupted"):
            metrics |= corruption_errors(images, correct)
    metrics = {name: share(correct) for name, correct in outcomes.items()} | metrics
    return StageResult(metrics, artifacts=save_outcomes(work_dir, outcomes))


def check(config: Config, encoder: str) -> None:
    """Raise UserError if a set is missing, is not labelled, or does not go with the classifier."""
    classes = None
    if encoder != "random":
        pixels = with_pixels(config, encoder).pixels
        _, classes = load_classifier(encoder, config.encoder, pixels)
    for entry in config.sets:
        images = open_set(entry, config)
        if (images.labels == NO_LABEL).any():
            raise UserError(f"{entry['data']} has images without a class")
        if entry.get("corrupted"):
            severities: dict[str, list[float]] = {}
            for corruption, _ in sorted(set(corruptions(images))):
                severities.setdefault(corruption, []).append(0.0)
            mean_corruption_error(severities)
        if classes is not None:
            set_columns(images, classes, entry)


def open_set(entry: dict[str, str], config: Config) -> ImageDataset:
    """The images of an entry of `config.sets`; each corruption has folders of the same classes."""
    channels = config.encoder.get("in_chans", 3)
    images = ImageDataset(entry["data"], config.transform, in_chans=channels)
    if entry.get("corrupted"):
        names = [*(name.rpartition("/")[2] for name in images.classes), ""]  # "" of NO_LABEL, -1
        images.classes, images.labels = labels_by_name([names[label] for label in images.labels])
    return images


def set_columns(images: ImageDataset, classes: list[str], entry: dict[str, str]) -> torch.Tensor:
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


def corruptions(images: ImageDataset) -> list[tuple[str, ...]]:
    """Corruption and severity of each image, from its path."""
    return [Path(images.source.name(i)).parts[-4:-2] for i in range(len(images))]


def corruption_errors(images: ImageDataset, correct: torch.Tensor) -> dict[str, Metric]:
    """Top-1 of each corruption, `evaluate/c_<corruption>`, and mCE, of <corruption>/<severity>/."""
    cases: dict[tuple[str, ...], list[bool]] = {}
    for place, right in zip(corruptions(images), correct.tolist(), strict=True):
        cases.setdefault(place, []).append(right)
    errors: dict[str, list[float]] = {}
    for (corruption, _), rights in sorted(cases.items()):
        errors.setdefault(corruption, []).append(1 - sum(rights) / len(rights))
    mce = mean_corruption_error(errors)
    single = {
        f"evaluate/c_{name}": Metric(1 - sum(values) / len(values))
        for name, values in errors.items()
    }
    return {"evaluate/mCE": Metric(mce), **single}
