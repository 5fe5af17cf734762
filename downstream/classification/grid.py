"""A linear probe for every rate, weight decay and input at once, on features extracted once.

The grid is that of DINOv2's linear evaluation (Oquab et al. 2023, B.3; `eval/linear.py` of its
code): 13 rates, the class tokens of the last block or of the last four, with and without the mean
of the last one's patches. The setting is chosen on a part of the train images, not on those that
the result is reported for. Images are not augmented, and a batch norm without parameters goes
before.
"""

from collections.abc import Sequence
from itertools import groupby, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import set_random_seed
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from downstream.classification.answers import Answers, answers_of
from downstream.classification.features import Features, train_and_val_features
from downstream.classification.layers import Columns, has_best, held_out, split_off, strata_of
from downstream.classification.metrics import Scored, decider, deciding, in_words, measured
from downstream.outcomes import save_outcomes
from downstream.parts import PartReporter
from mae_core.checkpoints import save_weights
from mae_core.data.images import ImageDataset
from mae_core.encoders.vit import last_blocks
from mae_core.engine.optim import unwrapped
from mae_core.engine.train import build_runner, train
from mae_core.files import write_json
from mae_core.kinds import ABOVE_0, FROM_0, SHARE, list_of
from mae_core.stage import Reporter, StageResult

KINDS = {"rates": list_of(ABOVE_0, 1), "decays": list_of(FROM_0, 1), "held_out": SHARE}


class Setting(NamedTuple):
    """Of one head.

    Attributes:
        rate: a factor of the optimizer's.
        decay: of the weights.
        blocks: whose class tokens it sees, the last ones; 0 for features of another `pool`.
        avgpool: whether it sees the mean of the patches, too.
        layer: whose features it sees, where there are those of all layers.
    """

    rate: float
    decay: float
    blocks: int = 0
    avgpool: bool = False
    layer: int | None = None

    def columns(self, width: int, pool: str, layers: Sequence[Columns] = ()) -> Columns:
        """The first of the features' `width` columns that it sees, and the one behind the last.

        Args:
            width: of the features.
            pool: of the encoder.
            layers: the columns of each layer.
        """
        if self.layer is not None:
            return layers[self.layer]
        if not self.blocks:
            return 0, width
        step = width // (last_blocks(pool) + 1)
        end = width if self.avgpool else width - step
        return width - step - self.blocks * step, end


class ProbeNorm(nn.BatchNorm1d):
    """Batch norm without affine parameters (A.1 of the MAE paper).

    An image that is left over for a batch of its own is normalised as in evaluation.

    Args:
        width: of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=False, eps=1e-6)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Features (N, D), normalised."""
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(input)


class GridProbe(BaseModel):
    """Batch norm without affine parameters, and a linear layer for each setting.

    Args:
        width: of the features.
        classes: number of classes, of labels, or 1.
        columns: for each setting the first column that it sees, and the one behind the last.
        answers: what the heads answer with; the class of each image without it.
    """

    def __init__(
        self,
        width: int,
        classes: int,
        columns: Sequence[tuple[int, int]],
        answers: Answers | None = None,
    ) -> None:
        super().__init__()
        self.answers = answers or Answers()
        self.norm = ProbeNorm(width)
        self.columns = list(columns)
        self.heads = nn.ModuleList(linear_head(end - first, classes) for first, end in columns)

    def forward(self, inputs: torch.Tensor, label: torch.Tensor, mode: str = "tensor") -> Any:
        """Features (N, D): 'loss' gives the heads' summed losses in a dict.

        'tensor' gives outputs (N, settings, classes). No head's gradient depends on another head.
        """
        x, parts = self.norm(inputs), []
        together = groupby(zip(self.columns, self.heads, strict=True), key=lambda pair: pair[0])
        for (first, end), pairs in together:
            weights: list[Any] = []
            biases: list[Any] = []
            for _, head in pairs:
                weights.append(head.weight)
                biases.append(head.bias)
            parts.append(F.linear(x[:, first:end], torch.cat(weights), torch.cat(biases)))
        logits = torch.cat(parts, dim=1).unflatten(1, (len(self.heads), -1))
        if mode != "loss":
            return logits
        return {"loss": self.answers.losses(logits, label).mean(dim=0).sum()}


def linear_head(width: int, classes: int) -> nn.Linear:
    """A linear layer with weights of deviation 0.01 and biases of 0."""
    head = nn.Linear(width, classes)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    return head


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GridConstructor(DefaultOptimWrapperConstructor):
    """A parameter group for each head; `paramwise_cfg.settings` are their rates and decays."""

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, **_: Any) -> None:
        """Append the groups of `module` to `params`."""
        model = unwrapped(module)
        for head, (rate, decay) in zip(model.heads, self.paramwise_cfg["settings"], strict=True):
            group = {"params": [*head.parameters()], "lr": self.base_lr * rate}
            params.append({**group, "weight_decay": decay})


class FeatureDataset(Dataset[dict[str, torch.Tensor]]):
    """Features as the Runner wants them."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"inputs": self.x[index], "label": self.y[index]}


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Choose a setting, train it on all train features; the metrics of :func:`measured` on val.

    `config.held_out` is the share of the train images that chooses among :func:`settings_of` the
    config, with `layer='best'` the layer, too. What each reaches there is the artifact `grid`.
    """
    train_features, val = train_and_val_features(config, encoder, work_dir, reporter)
    settings = settings_of(config, len(train_features.columns))
    chooses = split_off(
        train_features.strata, train_features.classes, config, train_features.groups
    )
    y, name = train_features.y, decider(config, train_features.kind)
    learns, held = train_features.only(~chooses), train_features.only(chooses)
    part = PartReporter(reporter, "grid", 0, 2)
    grid = fit(config, settings, learns, work_dir, part)
    found = [deciding(scored(grid, n, held), config) for n in range(len(grid.heads))]
    best = int(np.argmax(found))
    reporter.note(
        f"{described(settings[best])} won with "
        f"{in_words(found[best], name)} on the held-out {config.held_out:.0%} of train"
    )
    part = PartReporter(reporter, "winner", 1, 2)
    probe = fit(config, settings[best : best + 1], train_features, work_dir, part)
    on_val = scored(probe, 0, val)
    metrics, outcomes = measured("linear-probe", on_val, config, val.groups)
    checkpoint, table = work_dir / "probe.safetensors", work_dir / "grid.json"
    about = {"setting": settings[best]._asdict(), **probe.answers.about()}
    save_weights(checkpoint, probe, classes=val.classes, **about)
    rows = [
        {**setting._asdict(), f"held_out_{name}": value}
        for setting, value in zip(settings, found, strict=True)
    ]
    write_json(table, {"won": rows[best], "settings": rows}, indent=2)
    artifacts = {"grid": str(table), **save_outcomes(work_dir, outcomes)}
    return StageResult(metrics, str(checkpoint), artifacts, labels=len(y))


def settings_of(config: Config, layers: int = 1) -> list[Setting]:
    """`config.rates` times `config.decays`, for each input that `config.pool` has.

    'last4' has the class tokens of the last block and of the last four, each with and without the
    mean of the patches; with `layer='best'` each of `layers` is an input, otherwise there is one.
    """
    if has_best(config):
        numbers = product(range(layers), config.rates, config.decays)
        return [Setting(rate, decay, layer=number) for number, rate, decay in numbers]
    most = last_blocks(config.pool) if config.pool.startswith("last") else 0
    inputs = product(sorted({1, most}), (False, True)) if most else [(0, False)]
    return [
        Setting(rate, decay, blocks, avgpool)
        for blocks, avgpool in inputs
        for rate, decay in product(config.rates, config.decays)
    ]


def described(setting: Setting) -> str:
    """Such as 'rate 1 and weight decay 0 on the last 4 blocks and the mean of the patches'."""
    text = f"rate {setting.rate:g} and weight decay {setting.decay:g}"
    if setting.layer is not None:
        text += f" on layer {setting.layer}"
    if setting.blocks:
        text += (
            " on the last block" if setting.blocks == 1 else f" on the last {setting.blocks} blocks"
        )
    return f"{text} and the mean of the patches" if setting.avgpool else text


def check_split(config: Config, images: ImageDataset) -> None:
    """Raise UserError if the held-out part would have no image of a class."""
    held_out(strata_of(images.labels, images.targets), images.classes, images.source.groups, config)


def fit(
    config: Config,
    settings: Sequence[Setting],
    features: Features,
    work_dir: Path,
    reporter: PartReporter,
) -> GridProbe:
    """A head for each setting, trained on `features`, resumed where it stopped."""
    set_random_seed(config.seed)
    own = Config(config.to_dict())
    own.optim_wrapper.constructor = "GridConstructor"
    own.optim_wrapper.paramwise_cfg = {"settings": [(s.rate, s.decay) for s in settings]}
    width = features.x.shape[1]
    columns = [setting.columns(width, config.pool, features.columns) for setting in settings]
    probe = GridProbe(width, len(features.classes), columns, answers_of(features.targets))
    datasets = {"train_dataloader": FeatureDataset(features.x, features.y)}
    train(build_runner(own, probe, work_dir / reporter.name, reporter, datasets))
    return probe.cpu().eval()


@torch.inference_mode()
def scored(probe: GridProbe, number: int, features: Features) -> Scored:
    """What the head of one setting says of features."""
    first, end = probe.columns[number]
    parts = features.x.split(4096)
    raw = [probe.heads[number](probe.norm(part)[:, first:end]) for part in parts]
    answers = probe.answers
    return Scored(answers(torch.cat(raw)), features.y, kind=features.kind, unit=answers.unit)
