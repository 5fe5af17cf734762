"""A suite of data sets, each learnt from few examples: the sets of VTAB-1k (Zhai et al. 2019).

VTAB's sets, our draw, frozen: the examples are a seeded draw that has every class, where VTAB's are
fixed (the first 800 of train, the first 200 of val), and the encoder stays as it is, where the
paper fine-tunes it.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from torch import Tensor

from downstream.classification.features import (
    check_features,
    check_finite,
    extract,
    frozen_encoder,
)
from downstream.classification.layers import has_best, layer_columns
from downstream.classification.logistic import fit_quietly, search_strength
from downstream.classification.scaling import standardized
from downstream.outcomes import Grouped, in_groups, save_outcomes
from downstream.parts import OUTCOME, PartReporter, cached_outcome
from downstream.statistics import share
from mae_core.data.images import ImageDataset
from mae_core.data.sources import opened_once
from mae_core.data.sources.base import Groups
from mae_core.data.sources.groups import whole_groups
from mae_core.encoders import Encoder
from mae_core.errors import UserError
from mae_core.files import write_json
from mae_core.for_encoder import with_encoder
from mae_core.stage import Metric, Reporter, StageResult

Indices = NDArray[np.int64]
STRENGTHS = [10.0**power for power in range(-5, 2)]  # C: the less, the stronger the penalty
SETTING = "setting.json"  # of one data set
KEYS = {"name", "group", "train_data", "val_data"}


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Logistic regression on frozen features of each data set, tested on all its val images.

    `config.examples`, such as (800, 200), are drawn from train: the second part chooses C, then
    all of them are learnt. Metrics: `suite/<data set>`, `suite/mean_<group>`, `suite/mean` over
    data sets, as VTAB's score is (2.1). What is finished stays after an interruption.
    """
    config = with_encoder(config, encoder, reporter)
    model = frozen_encoder(config, encoder)
    outcomes: dict[str, Tensor | Grouped] = {}
    groups: dict[str, list[Metric]] = {}
    settings = {}
    for number, (entry, part) in enumerate(parts(config)):
        progress = PartReporter(reporter, entry.name, number, len(config.datasets))
        job, folder = partial(learn, model, part, encoder, progress), work_dir / entry.name
        if not is_setting(folder / SETTING):
            (folder / OUTCOME).unlink(missing_ok=True)  # both are made together
        with opened_once():
            val = ImageDataset(**part.val_data)
            correct = in_groups(cached_outcome(folder, job), val.source.groups)
        outcomes[f"suite/{entry.name}"] = correct
        groups.setdefault(entry.group, []).append(share(correct))
        settings[entry.name] = json.loads((folder / SETTING).read_text())
    metrics = {name: share(correct) for name, correct in outcomes.items()}
    metrics["suite/mean"] = mean_of(list(metrics.values()))
    metrics |= {f"suite/mean_{group}": mean_of(found) for group, found in groups.items()}
    summary = work_dir / "settings.json"
    write_json(summary, settings, indent=2)
    artifacts = {"settings": str(summary), **save_outcomes(work_dir, outcomes)}
    return StageResult(metrics, artifacts=artifacts)


def check(config: Config, encoder: str) -> None:
    """Raise UserError if a data set is not well described or has too few images or classes."""
    names = []
    for entry, part in parts(config):
        names.append(entry.name)
        train, _ = check_features(part, encoder)
        try:
            choose(train.labels, config.examples, config.seed, train.source.groups)
        except UserError as error:
            raise UserError(f"{entry.name}: {error}") from error
    odd = sorted({name for name in names if names.count(name) > 1 or name.startswith("mean")})
    if odd or not names:
        raise UserError(
            f"datasets={names}: expected one or more, of different names that do not begin 'mean'"
        )


def parts(config: Config) -> Iterator[tuple[Any, Config]]:
    """The entry of each data set, and the config with its data. Raises UserError for odd keys."""
    for entry in config.datasets:
        if set(entry) != KEYS:
            raise UserError(f"datasets has {dict(entry)}: expected {', '.join(sorted(KEYS))}")
        part = Config(config.to_dict())
        part.train_data, part.val_data = entry.train_data, entry.val_data
        yield entry, part


def learn(
    model: Encoder, config: Config, encoder: str, reporter: Reporter, work_dir: Path
) -> Tensor:
    """(N,) bool: which val images are classified correctly; C goes to `setting.json`.

    So does the layer, with `layer='best'`: the second part of the examples chooses both.
    """
    train, val = check_features(config, encoder)
    train = train.only(choose(train.labels, config.examples, config.seed, train.source.groups))
    x, queries = (extract(model, data, config, reporter) for data in (train, val))
    check_finite(x, encoder, "train")
    check_finite(queries, encoder, "val")
    x, queries = standardized(x, queries)
    searches = []
    columns = layer_columns(config, model)
    for first, end in columns:
        searches.append(fit(x[:, first:end].numpy(), train.labels, config.examples[0]))
    layer = int(np.argmax([search.best_score_ for search in searches]))  # the first of equals
    search, (first, end) = searches[layer], columns[layer]
    setting = {"C": search.best_params_["C"], "held_out": float(search.best_score_)}
    if has_best(config):
        setting["layer"] = layer
    write_json(work_dir / SETTING, setting)
    predicted = search.predict(queries[:, first:end].numpy())
    return torch.from_numpy(predicted == val.labels)


def is_setting(path: Path) -> bool:
    """Whether the setting that was chosen for a data set can be read."""
    try:
        return isinstance(json.loads(path.read_text()), dict)
    except (OSError, ValueError):
        return False


def choose(
    labels: Indices, examples: tuple[int, int], seed: int, groups: Groups | None = None
) -> Indices:
    """Numbers of images in random order, of both parts of `examples`, one of each class first.

    The rest is as frequent as in `labels` (N,); so the first part has all classes. No group has
    images in both parts.

    Raises:
        UserError: if there are fewer images, or more classes than the first part has images.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    _, first = np.unique(labels[order], return_index=True)
    if len(labels) < sum(examples) or len(first) > examples[0] or min(examples) < 1:
        raise UserError(
            f"examples={tuple(examples)} cannot be drawn from {len(labels)} train images of "
            f"{len(first)} classes: expected as many images, and no more classes than the first"
        )
    if groups is not None:
        return choose_apart(labels, order, examples, seed, groups)
    return np.concatenate([order[first], np.delete(order, first)])[: sum(examples)]


def choose_apart(
    labels: Indices, order: Indices, examples: tuple[int, int], seed: int, groups: Groups
) -> Indices:
    """As :func:`choose`, each part from groups of its own.

    Raises:
        UserError: if the groups of a part have too few images.
    """
    learnt = whole_groups(groups, labels, (0.0, examples[0] / sum(examples)), seed)
    learns = np.isin(order, learnt)
    found = []
    for those, count in ((order[learns], examples[0]), (order[~learns], examples[1])):
        _, first = np.unique(labels[those], return_index=True)
        if len(those) < count or len(first) > count:
            raise UserError(
                f"examples={tuple(examples)}: the groups of one part have {len(those)} images of "
                f"{len(first)} classes, as groups stay whole: take fewer, or another seed"
            )
        found.append(np.concatenate([those[first], np.delete(those, first)])[:count])
    return np.concatenate(found)


def fit(x: NDArray[np.float32], y: Indices, learnt: int) -> GridSearchCV:
    """Logistic regression on all of `x` (N, D), its C chosen by learning the first `learnt`."""
    held_out = np.where(np.arange(len(x)) < learnt, -1, 0)  # -1: in no fold, always learnt
    search = search_strength(STRENGTHS, PredefinedSplit(held_out), iterations=1000)
    fit_quietly(search, x, y)
    return search


def mean_of(metrics: list[Metric]) -> Metric:
    """Their mean; the 95 % interval is that of other val images of the same data sets."""
    value = sum(metric.value for metric in metrics) / len(metrics)
    if any(metric.ci95 is None for metric in metrics):
        return Metric(value)
    return Metric(value, sum((metric.ci95 or 0.0) ** 2 for metric in metrics) ** 0.5 / len(metrics))
