"""Few labels: the encoder probed and fine-tuned on small parts of the train labels."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray

from downstream.classification import finetune
from downstream.classification.answers import (
    CLASS,
    LABELS,
    MAIN,
    kind_of,
    labels_of,
    suffix_of,
)
from downstream.classification.features import Features, check_pool, train_and_val_features
from downstream.classification.few_labels import METHODS
from downstream.classification.layers import check_choice, strata_of
from downstream.classification.logistic import fit_logistic
from downstream.classification.metrics import Scored, main_outcome, outcome_again
from downstream.classification.scaling import standardized
from downstream.classification.separate import fit_labels, fit_number
from downstream.curves import Point, draw_curves
from downstream.outcomes import Grouped, Resampled, save_outcomes
from downstream.parts import PartReporter, cached_outcome
from downstream.scratch import SUPERVISED, recipe_for, weights_of
from downstream.statistics import over_resamples, over_trainings
from mae_core.data.images import ImageDataset, drawn_by
from mae_core.data.sources import listed_in
from mae_core.data.sources.select import balanced, stratified
from mae_core.errors import UserError
from mae_core.for_encoder import with_encoder
from mae_core.plots import drawn
from mae_core.stage import Metric, Reporter, StageResult


class Split(NamedTuple):
    """A choice of train images: the name of its set, its number, and the images' indices."""

    set: str
    number: int
    indices: NDArray[np.int64]


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Train on each split of each set; metrics `low-shot/<set>_{probe,finetune}`.

    A metric is the mean over the set's splits on all val images, of top-1 where these have a class
    each, else with the main metric in its name, such as `<set>_probe_map`. All encoders get the
    same splits; 'supervised' is only trained from scratch. The config is one for fine-tuning, with

    - `sets`: dicts of `name`, and of `splits` and either `per_class` (images) or `share` (0 to 1),
      for seeded splits of our own with as much of each class, or of `names_in`, a text file that
      names the images, for a published split; and, if it differs, `epochs` of the fine-tuning;
    - `methods`: 'probe' (logistic regression on frozen features), 'finetune', or both;
    - what :func:`train_and_val_features` needs, for the probe.
    """
    merged, source = recipe_for(config, encoder), weights_of(encoder)
    merged = with_encoder(merged, source, reporter)
    images = finetune.open_images(merged)
    splits = list(draw_splits(config, images[0]))
    probes = config.methods.count("probe") and encoder != SUPERVISED
    outcomes: dict[str, list[torch.Tensor]] = {}
    if probes:
        features = train_and_val_features(merged, source, work_dir, reporter)
        for split in splits:
            found = outcomes.setdefault(f"low-shot/{split.set}_probe", [])
            found.append(probe(*features, split.indices))
    if "finetune" in config.methods:
        for count, split in enumerate(splits):
            name = f"{split.set}-{split.number}"
            part = PartReporter(reporter, name, count, len(splits))
            chosen = images[0].only(split.indices), images[1]
            fit = partial(finetune.fit_part, for_set(merged, split.set), source, chosen, part)
            correct = cached_outcome(work_dir / name, fit)
            outcomes.setdefault(f"low-shot/{split.set}_finetune", []).append(correct)
    stacked: dict[str, torch.Tensor | Grouped | Resampled] = {}
    metrics: dict[str, Metric] = {}
    kind = kind_of(images[0].targets)
    suffix = suffix_of(kind)
    for name, values in outcomes.items():
        outcome = outcome_again(torch.stack(values), images[1].source.groups)
        stacked[f"{name}{suffix}"] = outcome
        metrics[name] = over_splits(outcome)
    sizes = {split.set: len(split.indices) for split in splits}
    curves: dict[str, list[Point]] = {}
    for name, metric in metrics.items():
        set_name, _, method = name.removeprefix("low-shot/").rpartition("_")
        curves.setdefault(METHODS[method], []).append(Point(sizes[set_name], metric))
    curve = partial(
        draw_curves,
        curves=curves,
        title="Few labels",
        amount="labelled images",
        value=MAIN[kind],
    )
    picture = drawn(work_dir / "curve.png", curve, reporter)
    metrics = {f"{name}{suffix}": metric for name, metric in metrics.items()}
    return StageResult(metrics, artifacts={**picture, **save_outcomes(work_dir, stacked)})


def over_splits(outcome: torch.Tensor | Grouped | Resampled) -> Metric:
    """The mean over splits; its interval covers other splits and other val images."""
    if isinstance(outcome, Resampled):
        return over_resamples(outcome)
    if isinstance(outcome, Grouped):
        return over_trainings(outcome.values.astype(np.float32), outcome.groups)
    return over_trainings(outcome.float())


def check(config: Config, encoder: str) -> None:
    """Raise UserError for what :func:`run` could not do."""
    finetune.check(config, encoder)
    unknown = set(config.methods) - set(METHODS)
    if unknown or not config.methods:
        raise UserError(
            f"methods={config.methods}: expected {' and '.join(METHODS)}, or one of them"
        )
    if encoder == SUPERVISED and "finetune" not in config.methods:
        raise UserError("encoder 'supervised' is trained from scratch: methods needs 'finetune'")
    own = with_encoder(recipe_for(config, encoder), weights_of(encoder))
    images, _ = finetune.open_images(own)
    for _ in draw_splits(config, images):
        pass
    if "probe" in config.methods:
        frozen = ImageDataset(**drawn_by(own.seed, own.train_data))
        if not torch.equal(labels_of(frozen), labels_of(images)):
            raise UserError("train_data and train_dataloader.dataset are not the same images")
        check_pool(own)
        check_choice(own, frozen)


def draw_splits(config: Config, images: ImageDataset) -> Iterator[Split]:
    """All splits, by set; they depend on `config.seed`.

    Raises:
        UserError: if a class has too few images, or a set is not well described.
    """
    for entry in config.sets:
        check_entry(entry)
        if "names_in" in entry:
            yield Split(entry["name"], 0, published(config, images, entry["names_in"]))
        for number in range(entry.get("splits", 0)):
            seed = 1000 * config.seed + number
            if "share" in entry:
                chosen = stratified(
                    strata_of(images.labels, images.targets), images.classes, entry["share"], seed
                )
            elif images.targets is not None:
                raise UserError(
                    f"sets has {dict(entry)}: per_class needs images with one class each, take a "
                    "share"
                )
            else:
                chosen = balanced(images.labels, images.classes, entry["per_class"], seed)
            yield Split(entry["name"], number, chosen)


def check_entry(entry: Mapping[str, Any]) -> None:
    """Raise UserError unless the keys of one of `sets` say which images, once."""
    how = {"per_class", "share", "names_in"} & set(entry)
    known = {"name", "epochs", *how} | (set() if "names_in" in entry else {"splits"})
    if len(how) != 1 or not known - {"epochs"} <= set(entry) <= known:
        raise UserError(
            f"sets has {dict(entry)}: expected name, and splits with per_class or share, or "
            "names_in alone"
        )


def published(config: Config, images: ImageDataset, names_in: str) -> NDArray[np.int64]:
    """The images that the text file `names_in` names, of every class.

    Such as the 1 % and 10 % of ImageNet of SimCLR (Chen et al. 2020), whose lists are
    `imagenet_subsets/*percent.txt` of google-research/simclr: one file name in a line.

    Raises:
        UserError: as :func:`mae_core.data.sources.listed_in`, or if it lacks a class.
    """
    chosen = listed_in(images.source, config.train_dataloader.dataset.data, names_in)
    missing = np.setdiff1d(images.labels, images.labels[chosen])
    if len(missing):
        raise UserError(
            f"{names_in} names no image of {len(missing)} classes, such as "
            f"'{images.classes[int(missing[0])]}'"
        )
    return chosen


def for_set(config: Config, name: str) -> Config:
    """The config for the trainings of a set, with the set's own epochs if it has any."""
    entry: dict[str, Any] = next(entry for entry in config.sets if entry["name"] == name)
    own = Config(config.to_dict())
    if "epochs" in entry:
        own.train_cfg.max_epochs = entry["epochs"]
    return own


def probe(train: Features, val: Features, indices: NDArray[np.int64]) -> torch.Tensor:
    """The val images' main outcome of a regression on `indices` of train: logistic, or ridge.

    Features are scaled by the mean and deviation of all train images, for which no label is needed.
    """
    x, queries = standardized(train.x, val.x)
    chosen = torch.from_numpy(indices)
    groups = None if train.groups is None else train.groups.only(indices).of
    if train.kind == CLASS:
        return fit_logistic(x[chosen], train.y[chosen], groups)(queries) == val.y
    fit = fit_labels if train.kind == LABELS else fit_number
    scores = fit(x[chosen], train.y[chosen], groups)(queries)
    return main_outcome(Scored(scores, val.y, kind=val.kind), val.groups)
