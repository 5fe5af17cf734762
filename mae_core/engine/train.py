"""Run one training on mmengine's Runner, resumed where it stopped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size, is_distributed, is_main_process
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from mae_core.data import sampler  # noqa: F401  registers
from mae_core.data.shared_memory import workers_for
from mae_core.encoders import Encoder
from mae_core.engine import amp, lamb, loop, optim  # noqa: F401  all register
from mae_core.engine.batch import Batch, batch_of, scaled_optimizer
from mae_core.engine.finite import DivergenceHook
from mae_core.engine.hooks import (
    AverageHook,
    PlainHistoryHook,
    RandomStateHook,
    ReportHook,
    SameBatchHook,
    SharedStatisticsHook,
)
from mae_core.engine.optim import unwrapped
from mae_core.engine.schedule import in_updates, warmup_cosine
from mae_core.engine.sharded import ShardedRunner, is_sharded
from mae_core.engine.step_checkpoints import checkpoints, resume_point
from mae_core.engine.stop import deferring_signals
from mae_core.engine.unreadable import UnreadableHook
from mae_core.errors import UserError
from mae_core.stage import Reporter

RUNNER_KEYS = (
    "train_dataloader",
    "param_scheduler",
    "val_dataloader",
    "val_cfg",
    "val_evaluator",
    "test_dataloader",
    "test_cfg",
    "test_evaluator",
    "default_hooks",
    "env_cfg",
    "default_scope",
    "log_level",
    "custom_hooks",
)


def build_runner(
    config: Config,
    model: nn.Module | dict[str, Any],
    work_dir: Path,
    reporter: Reporter,
    datasets: Mapping[str, Dataset[Any]] | None = None,
) -> Runner:
    """A Runner that reports, and that continues from the last checkpoint in `work_dir`.

    Args:
        config: the Runner's own keys at top level, `seed`, and either `param_scheduler` or
            `schedule`, the arguments of :func:`warmup_cosine`. `effective_batch` and
            `auto_scale_lr`: see :mod:`mae_core.engine.batch`. `ema`, if there and not None, is the
            decay of a moving average of the weights at each update, see :func:`use_average`.
            `divergence`: arguments of :class:`DivergenceHook`. `max_unreadable`: see
            :class:`UnreadableHook`. `report_interval`: steps between two reports.
            `sharded`: see :mod:`mae_core.engine.sharded`.
        model: a built model, or its config.
        work_dir: gets checkpoints and mmengine's log.
        reporter: gets progress, metrics and notes.
        datasets: built data sets by loader, such as `{"train_dataloader": ...}`; loaders without
            one build theirs from the config.

    Raises:
        UserError: if no checkpoint in `work_dir` can be read, one holds more than weights and plain
            state, the batch does not fit the devices or the data, `ema` is out of range, or
            `sharded` does not go with other keys.
    """
    batch = batch_of(config, get_world_size())
    fields = runner_fields(config, batch, datasets or {}, reporter)
    latest = find_resume_point(work_dir, reporter)
    runner = (ShardedRunner if is_sharded(config) else Runner)(
        model=model,
        work_dir=str(work_dir),
        train_cfg=train_loop(config.train_cfg),
        optim_wrapper=scaled_optimizer(config, batch),
        resume=latest is not None,
        load_from=None if latest is None else str(latest),
        launcher="pytorch" if is_distributed() else "none",
        randomness={"seed": config.seed},
        experiment_name=str(work_dir),  # of what is kept in the process: folders share names
        visualizer={"type": "Visualizer", "name": f"{work_dir}"},
        cfg=runner_config(config, model),
        **fields,
    )
    add_hooks(runner, config, batch, reporter)
    return runner


def runner_fields(
    config: Config, batch: Batch, datasets: Mapping[str, Dataset[Any]], reporter: Reporter
) -> dict[str, Any]:
    """The Runner's own keys: the config's, with schedule, data sets and loaders made of them.

    Raises:
        UserError: if the batch does not fit the data.
    """
    fields = {key: config[key] for key in RUNNER_KEYS if key in config}
    if "schedule" in config:
        fields["param_scheduler"] = warmup_cosine(config.train_cfg.max_epochs, **config.schedule)
    for loader, dataset in datasets.items():
        fields[loader] = {**fields[loader], "dataset": dataset}
    images = whole_updates(fields["train_dataloader"], batch)
    if config.get("mixing") and images["sampler"]["type"] == "DrawSampler":
        images = {**images, "sampler": {**images["sampler"], "together": 2}}
    fields["train_dataloader"] = images
    if batch.accumulate > 1 and fields.get("param_scheduler"):
        epoch = len(images["dataset"]) // images["sampler"]["multiple"]
        fields["param_scheduler"] = in_updates(fields["param_scheduler"], epoch)
    for loader in ("train_dataloader", "val_dataloader"):
        if loader in fields:
            fields[loader] = with_workers_ignoring_signals(
                with_room(fields[loader], reporter), config.seed
            )
    return fields


def add_hooks(runner: Runner, config: Config, batch: Batch, reporter: Reporter) -> None:
    """Register what a training needs beside the config's own hooks.

    Raises:
        UserError: if `ema` is out of range.
    """
    ema = config.get("ema")
    if ema is not None:
        if not 0 < ema < 1:
            raise UserError(f"ema={ema}: the decay of the average lies between 0 and 1")
        runner.register_hook(AverageHook(ema))
    for hook in (
        ReportHook(reporter, config.get("report_interval", 10)),
        DivergenceHook(reporter, **config.get("divergence", {})),
        UnreadableHook(reporter, config.get("max_unreadable", 0.01)),
        SameBatchHook(batch),
        *([SharedStatisticsHook()] if is_distributed() else []),
        RandomStateHook(),
        PlainHistoryHook(),
    ):
        runner.register_hook(hook)


def train(runner: Runner) -> nn.Module:
    """Train to the end and return the model, unwrapped.

    Raises:
        Interrupted: after SIGTERM or SIGINT, with the state saved.
        UserError: as the hooks do, see :mod:`mae_core.engine.step_checkpoints` and `finite`.
    """
    with deferring_signals():
        model = runner.train()
    end_workers(runner)
    if isinstance(runner, ShardedRunner):
        return runner.whole_model()
    return unwrapped(model)


def end_workers(runner: Runner) -> None:
    """End the processes of loaders that keep theirs, which would stay beside all that follows.

    Left to the collection of garbage each loader's end would take five seconds: Python closes the
    queue to the processes first, so that the word to end does not reach them.
    """
    for one in (runner.train_loop, runner.val_loop):
        if one is not None:
            one.dataloader._iterator = None


def train_loop(config: dict[str, Any]) -> dict[str, Any]:
    """`train_cfg`, where training by epoch means our loop."""
    by_epoch, rest = config.get("by_epoch"), {k: v for k, v in config.items() if k != "by_epoch"}
    return {"type": "ResumableTrainLoop", **rest} if by_epoch else config


def whole_updates(loader: dict[str, Any], batch: Batch) -> dict[str, Any]:
    """A train loader whose epochs are whole updates, if it drops the rest anyway.

    Raises:
        UserError: if accumulation would leave a part of an update at an epoch's end, or there are
            fewer images than one update needs.
    """
    whole = loader.get("drop_last") and loader["sampler"]["type"] == "DrawSampler"
    if batch.accumulate > 1 and not whole:
        raise UserError(
            f"effective_batch={batch.update} takes {batch.accumulate} steps: set "
            "train_dataloader.drop_last=True and train_dataloader.sampler.type=DrawSampler, so "
            "that every epoch is whole updates"
        )
    if not loader.get("drop_last"):
        return loader
    dataset, order = loader["dataset"], loader["sampler"]
    repeats = batch.micro // loader["batch_size"]
    if hasattr(dataset, "__getitem__") and len(dataset) * repeats < batch.update:
        raise UserError(
            f"{len(dataset)} images are fewer than the {batch.update} of one update: choose a "
            "smaller train_dataloader.batch_size or effective_batch"
        )
    if order["type"] == "DrawSampler":
        order = {**order, "multiple": batch.update // repeats}
    return {**loader, "sampler": order}


def with_room(loader: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """A loader without processes of its own if shared memory is too small for their batches."""
    wanted = loader["num_workers"]
    workers = workers_for(loader["dataset"], loader["batch_size"], wanted, reporter.note)
    if workers == wanted:
        return loader
    only = ("persistent_workers", "prefetch_factor")  # for loaders with processes
    return {key: value for key, value in loader.items() if key not in only} | {
        "num_workers": workers
    }


def with_workers_ignoring_signals(loader: dict[str, Any], seed: int) -> dict[str, Any]:
    """A loader whose processes leave signals to the training."""
    about = {"num_workers": loader["num_workers"], "rank": get_rank(), "seed": seed}
    return {**loader, "worker_init_fn": {"type": "worker_ignoring_signals", **about}}


def runner_config(config: Config, model: nn.Module | dict[str, Any]) -> Config:
    """`config` as the Runner should know it.

    Without `compile`, with which mmengine would compile the whole step, optimizer included; and on
    CPUs saying that processes have no device of their own. Its text, which the Runner writes into
    log, folder and checkpoints, is not formatted: each time would take half a second.
    """
    fields = {key: value for key, value in config.to_dict().items() if key != "compile"}
    modules = model.modules() if isinstance(model, nn.Module) else ()
    # Several processes would wait for the gradients of weights that have none.
    unused = not all(one.all_trained for one in modules if isinstance(one, Encoder))
    if is_distributed() and not torch.cuda.is_available():
        wrapper = {"type": "MMDistributedDataParallel", "device_ids": None}
        fields["model_wrapper_cfg"] = {**wrapper, "broadcast_buffers": False}
        fields["model_wrapper_cfg"]["find_unused_parameters"] = unused
    elif unused:
        fields["find_unused_parameters"] = True
    return Config(fields, format_python_code=False)


def find_resume_point(work_dir: Path, reporter: Reporter) -> Path | None:
    """The newest whole checkpoint; damaged ones after it are renamed, and the user is told."""
    found = resume_point(work_dir)
    if found is None:
        return None
    for path in checkpoints(work_dir):
        if path == found:
            break
        if is_main_process():
            path.replace(path.with_suffix(".damaged"))
        reporter.note(f"{path.name} is damaged: training goes on from {found.name}")
    return found


def use_average(runner: Runner) -> None:
    """Give the trained model the moving average of its weights, if the config asked for one."""
    for hook in runner.hooks:
        if isinstance(hook, AverageHook):
            hook.src_model.load_state_dict(hook.ema_model.module.state_dict())
