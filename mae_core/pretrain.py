"""The pretraining stage: an encoder on unlabelled images, by a method that the config names."""

import logging
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner, set_random_seed

from mae_core.checkpoints import check_sizes, save_encoder
from mae_core.continued import (
    RestHook,
    continued_of,
    inherited_licence,
    load_start,
    with_rate,
    with_start,
)
from mae_core.data.images import ImageDataset, reading
from mae_core.data.normalize import Normalize
from mae_core.drop_path import draw_paths
from mae_core.encoders import create_encoder
from mae_core.engine.auto_batch import resolve_batch_size
from mae_core.engine.batch import check_batch
from mae_core.engine.capture import CaptureHook
from mae_core.engine.optim import unwrapped
from mae_core.engine.sharded import is_sharded
from mae_core.engine.train import build_runner, train, use_average
from mae_core.errors import UserError
from mae_core.figures import draw_rows
from mae_core.for_encoder import own_preprocessing
from mae_core.input_sizes import InputSizeHook, check_sizes_of, phases_of, resized
from mae_core.kinds import DICT, FLAG, TEXT, check_kinds, maybe
from mae_core.methods import Method, create_method
from mae_core.methods.base import total
from mae_core.methods.cost import flops_an_image
from mae_core.names import has_file
from mae_core.plots import drawn
from mae_core.stage import Metric, Reporter, SilentReporter, StageResult

PETA = 1e15
log = logging.getLogger(__name__)


class Pretrainer(BaseModel):
    """A method as the Runner wants it.

    It has the method under the method's name, so that a config can name its parts, such as
    `mae.encoder.blocks.0`.
    """

    input_size: tuple[int, int] | None = None  # that images are made, if they are to be smaller

    def __init__(self, method: Method, preprocessor: Normalize) -> None:
        super().__init__(data_preprocessor=preprocessor)
        self.method_name = method.name
        self.add_module(method.name, method)

    @property
    def method(self) -> Method:
        """What is trained."""
        return self.get_submodule(self.method_name)

    def forward(
        self, inputs: torch.Tensor, seed: torch.Tensor, mode: str = "loss", **_: Any
    ) -> dict[str, torch.Tensor]:
        """Images (N, C, H, W) normalised -> scalars, among them `loss`; image i draws by seed i."""
        if self.input_size:
            inputs = resized(inputs, self.input_size)
        draw_paths(self.method.encoder, seed)
        losses = self.method.losses(inputs, seed)
        return {**losses, "loss": total(losses)}

    def parse_losses(
        self, losses: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What is trained, and what is logged; mmengine would train the sum of all."""
        return losses["loss"], losses


class AfterUpdateHook(Hook):
    """Tells the method of each update of the weights."""

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Call :meth:`Method.after_update` if this step made an update."""
        accumulated = runner.optim_wrapper._accumulative_counts
        if self.every_n_train_iters(runner, accumulated):
            step = (runner.iter + 1) // accumulated
            method_in(runner).after_update(step, runner.max_iters // accumulated)


def method_in(runner: Runner) -> Method:
    """The method that a Runner trains."""
    return unwrapped(runner.model).method


def build_method(config: Config) -> Method:
    """The method that `config.method` names ('mae' without), with the fields under that name.

    Raises:
        UserError: for an unknown method, encoder or field, or values that do not fit together.
    """
    name = config.get("method", "mae")
    encoder = create_encoder(**config.encoder)
    return create_method(name, encoder, **config.get(name, {}))


def run(config: Config, encoder: str, work_dir: Path, reporter: Reporter) -> StageResult:
    """Pretrain, from random weights or from those of `encoder`, see :mod:`mae_core.continued`.

    `config.compile` is True, False, or None for "on a GPU, unless sharded". `config.ema` is the
    decay of a moving average of the weights, which is then what the stage returns, or None.

    Returns the encoder as checkpoint, and as artifacts what the method keeps, such as
    `mae.safetensors` with the decoder, and its picture.
    """
    continued = continued_of(config, encoder)
    config = with_rate(with_start(config, encoder, reporter), continued)
    set_random_seed(config.seed)
    method = build_method(config)
    if has_file(encoder):
        load_start(method, encoder, reporter)
    model = Pretrainer(method, Normalize(**config.pixels))
    if is_compiled(config, reporter):
        model.method.compile()
    images = ImageDataset(**config.train_dataloader.dataset)
    resolve_batch_size(config, model, images, work_dir, reporter)
    runner = build_runner(config, model, work_dir, reporter, {"train_dataloader": images})
    if config.get("input_sizes") is not None:
        runner.register_hook(InputSizeHook(phases_of(config, method.encoder.img_size)))
    runner.register_hook(AfterUpdateHook())
    runner.register_hook(CaptureHook(reporter))
    if continued.warmup_updates:
        runner.register_hook(RestHook(continued.warmup_updates))
    train(runner)
    if not is_main_process():
        return StageResult()
    use_average(runner)
    inherited = own_preprocessing(config, encoder) | inherited_licence(encoder)
    metrics = {"pretrain/loss": Metric(mean_loss(runner, updates=100)), **cost(runner, config)}
    return replace(export(model, config, work_dir, reporter, inherited), metrics=metrics)


def cost(runner: Runner, config: Config) -> dict[str, Metric]:
    """Images that the training took, with those that came again, and floating-point operations.

    The latter are left out, with a warning, for an architecture of which they are not known.
    """
    images = runner.iter * runner.train_dataloader.batch_size * get_world_size()
    found = {"pretrain/images": Metric(images)}
    phases = phases_of(config, method_in(runner).encoder.img_size)
    try:
        an_image = sum(
            (phase.end - phase.begin) * flops_an_image(lambda: build_method(config), phase.size)
            for phase in phases
        )
    except Exception as error:  # of the architecture's own code
        log.warning("what a step of %s costs is not known: %s", config.encoder, error)
        return found
    return {**found, "pretrain/petaflop": Metric(an_image * images / PETA)}


def is_compiled(config: Config, reporter: Reporter) -> bool:
    """Whether the method is compiled, see :func:`run`.

    Raises:
        UserError: if it is to be, and there is no compiler.
    """
    on_gpu = torch.cuda.is_available() and not is_sharded(config)
    if config.compile is False or not (config.compile or on_gpu):
        return False
    lacking = lacking_compiler(torch.cuda.is_available())
    if lacking and config.compile:
        raise UserError(f"compile=True: {lacking}")
    if lacking:
        reporter.note(f"the training is not compiled, which is slower: {lacking}")
    return not lacking


def lacking_compiler(on_gpu: bool) -> str:
    """Which compiler torch.compile lacks, and what to do; '' if it has what it needs."""
    if on_gpu:  # as triton looks
        there = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
        return "" if there else "no C compiler; install gcc or clang, or name one in CC"
    # As torch._inductor.config.cpp.cxx says; a command may have arguments.
    command = shlex.split(os.environ.get("CXX", "g++")) or [""]
    if shutil.which(command[0]):
        return ""
    return f"on CPUs it needs a C++ compiler, no '{command[0]}'; install g++, or name one in CXX"


def mean_loss(runner: Runner, updates: int) -> float:
    """The training loss, averaged over the last `updates`.

    Raises:
        UserError: if there is none that is finite.
    """
    if "train/loss" not in runner.message_hub.log_scalars:
        raise UserError(
            "no update had a finite loss: lower the learning rate, or look at the images and the "
            "weights that the pretraining began with"
        )
    steps = updates * runner.optim_wrapper._accumulative_counts
    return float(runner.message_hub.get_scalar("train/loss").mean(steps))


def check(config: Config, encoder: str) -> None:
    """Raise UserError for a method, sizes or a batch that do not do, or a ratio that masks all.

    Also if there are no train images, or an image of the preview cannot be read: it is drawn at the
    very end. Of a file to go on from, if it does not fit.
    """
    name = config.get("method", "mae")
    check_kinds(config, {"method": TEXT, f"{name}": DICT, "compile": maybe(FLAG)})
    continued_of(config, encoder)
    config = with_start(config, encoder)
    check_sizes(config.encoder, encoder)
    check_batch(config)
    is_compiled(config, SilentReporter())
    with torch.device("meta"):
        method = build_method(config)
    if config.get("input_sizes") is not None:
        check_sizes_of(method, phases_of(config, method.encoder.img_size))
    ImageDataset(**config.train_dataloader.dataset)
    preview_images(config)


def export(
    model: Pretrainer,
    config: Config,
    work_dir: Path,
    reporter: Reporter,
    inherited: Mapping[str, Any],
) -> StageResult:
    """Write weights and picture of a trained model; without the picture, if that fails.

    `inherited` is what the files are to say beside what they say anyway.
    """
    method = model.method
    encoder_file = work_dir / "encoder.safetensors"
    pixels = dict(config.pixels)
    save_encoder(encoder_file, method.encoder, pixels=pixels, **inherited)
    kept = method.save(work_dir, {**method.encoder.metadata(), "pixels": pixels, **inherited})

    def draw(picture: Path) -> None:
        rows = method.picture(preview_images(config), model.data_preprocessor, config.seed)
        if rows is not None:
            draw_rows(picture, rows)

    picture = drawn(work_dir / "reconstruction.png", draw, reporter)
    return StageResult(
        checkpoint=str(encoder_file),
        artifacts={**picture, **kept},
    )


def preview_images(config: Config, count: int = 8) -> torch.Tensor:
    """(count, C, H, W): the preview's images, or train's without any; spread over classes."""
    train, own = config.train_dataloader.dataset, config.preview
    data = {} if own.get("data") else {"data": train.data, **reading(train)}
    dataset = ImageDataset(**{**own, **data})
    step = max(len(dataset) // count, 1)
    return torch.stack([dataset[i * step]["inputs"] for i in range(min(count, len(dataset)))])
