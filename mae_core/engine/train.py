"""Run one training on mmengine's Runner, resumed where it stopped."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import Runner, find_latest_checkpoint
from torch import nn
from torch.utils.data import Dataset

from mae_core.engine import amp, optim  # noqa: F401  both register
from mae_core.engine.hooks import PlainHistoryHook, RandomStateHook, ReportHook
from mae_core.engine.schedule import warmup_cosine
from mae_core.errors import UserError
from mae_core.stage import Reporter

RUNNER_KEYS = (
    "train_dataloader",
    "train_cfg",
    "optim_wrapper",
    "param_scheduler",
    "auto_scale_lr",
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
    datasets: dict[str, Dataset[Any]] | None = None,
) -> Runner:
    """A Runner that reports, and that continues from the last checkpoint in `work_dir`.

    Args:
        config: the Runner's own keys at top level, `seed`, and either `param_scheduler` or
            `schedule`, the arguments of :func:`warmup_cosine`. `ema`, if there and not None, is
            the decay of a moving average of the weights, see :func:`use_average`.
        model: a built model, or its config.
        work_dir: gets checkpoints and mmengine's log.
        reporter: gets progress and metrics.
        datasets: built data sets by loader, such as `{"train_dataloader": ...}`; loaders without
            one build theirs from the config.

    Raises:
        UserError: if the last checkpoint holds more than weights and plain state, or `ema` is out
            of range.
    """
    latest = last_checkpoint(work_dir)
    if latest is not None:
        check_plain(latest)
    fields = {key: config[key] for key in RUNNER_KEYS if key in config}
    if "schedule" in config:
        fields["param_scheduler"] = warmup_cosine(config.train_cfg.max_epochs, **config.schedule)
    for loader, dataset in (datasets or {}).items():
        fields[loader] = {**fields[loader], "dataset": dataset}
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        resume=latest is not None,
        load_from=latest,
        randomness={"seed": config.seed},
        experiment_name=work_dir.name,
        visualizer={"type": "Visualizer", "name": f"{work_dir}"},
        cfg=config,
        **fields,
    )
    ema = config.get("ema")
    if ema is not None:
        if not 0 < ema < 1:
            raise UserError(f"ema={ema}: the decay of the average lies between 0 and 1")
        runner.register_hook(EMAHook(momentum=1 - ema))
    runner.register_hook(ReportHook(reporter))
    runner.register_hook(RandomStateHook())
    runner.register_hook(PlainHistoryHook())
    return runner


def use_average(runner: Runner) -> None:
    """Give the trained model the moving average of its weights, if the config asked for one."""
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            hook.src_model.load_state_dict(hook.ema_model.module.state_dict())


def last_checkpoint(work_dir: Path) -> str | None:
    """The checkpoint that `work_dir` names as its last, else the newest still there, if any.

    mmengine notes an absolute path, which is wrong once the folder has moved.
    """
    noted = find_latest_checkpoint(str(work_dir))
    if noted is None:
        return None
    here = work_dir / Path(noted).name
    left = [here] if here.is_file() else list(work_dir.glob("*.pth"))
    return str(max(left, key=lambda path: path.stat().st_mtime)) if left else None


def check_plain(path: str) -> None:
    """Raise UserError unless torch reads `path` without executing code.

    mmengine itself would only warn and then unpickle anything.
    """
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises anything
        raise UserError(
            f"{path} is damaged or holds code, so training cannot resume from it: delete it and "
            "run the same command again"
        ) from error
