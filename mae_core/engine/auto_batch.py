"""`batch_size="auto"`: the largest micro-batch whose training step fits into memory."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import psutil
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.model import BaseModel
from torch.utils.data import Dataset

from mae_core.data.images import collate_views
from mae_core.engine.batch import AUTO
from mae_core.engine.hooks import random_state, set_random_state
from mae_core.errors import UserError
from mae_core.files import write_text
from mae_core.stage import Reporter

FIRST, SECOND = 4, 12  # images of the two steps that are measured
SHARE = 0.85  # of the free memory; the rest is for fragmentation and the loader
STATE = 3  # AdamW's two moments and other processes' gradients, in sizes of the parameters
RECORD = "batch_size.txt"


def resolve_batch_size(
    config: Config, model: BaseModel, images: Dataset[Any], work_dir: Path, reporter: Reporter
) -> None:
    """Replace `train_dataloader.batch_size = "auto"` in `config` by a number.

    It is the largest divisor of a device's share of `effective_batch` for which the memory
    extrapolated from two measured steps fits. It is noted in `work_dir`, where a resumed training
    finds it again.

    Raises:
        UserError: if not even the smallest step fits.
    """
    loader = config.train_dataloader
    if loader.batch_size != AUTO:
        return
    record = work_dir / RECORD
    noted = read_number(record)
    if noted:
        loader.batch_size = noted
        return
    model.to(get_device())
    before = random_state()
    low, high = (step_memory(config, model, images, count) for count in (FIRST, SECOND))
    set_random_state(before)
    an_image = max((high - low) / (SECOND - FIRST), 1)
    rest = free_memory() - STATE * parameter_bytes(model)
    fit = torch.tensor(int(FIRST + (SHARE * rest - low) / an_image))
    all_reduce(fit, "min")
    fitting = [n for n in candidates(config) if n <= int(fit)]
    if not fitting:
        raise UserError(
            f"batch_size=auto: a step of {FIRST} images needs {low / 2**30:.1f} GiB, "
            f"{max(rest, 0) / 2**30:.1f} GiB are free beside the optimizer: choose a smaller model "
            "or images, or activation_checkpointing"
        )
    loader.batch_size = fitting[-1]
    if is_main_process():
        work_dir.mkdir(parents=True, exist_ok=True)
        write_text(record, str(loader.batch_size))
    reporter.note(
        f"batch_size=auto: {loader.batch_size} images at once on each device "
        f"({an_image / 2**20:.1f} MiB an image)"
    )


def read_number(record: Path) -> int:
    """The number in a file; 0 if there is none, or it is damaged: it is then found anew."""
    try:
        return max(int(record.read_text()), 0)
    except (OSError, ValueError):
        return 0


def candidates(config: Config) -> list[int]:
    """Batch sizes to choose from, ascending; even ones where images are mixed in pairs."""
    repeats = config.train_dataloader.dataset.get("repeats", 1)
    share = config.effective_batch // (get_world_size() * repeats)
    least = 2 if config.get("mixing") else 1
    return [n for n in range(least, share + 1, least) if share % n == 0]


def step_memory(config: Config, model: BaseModel, images: Dataset[Any], count: int) -> int:
    """Peak bytes that a forward and a backward pass over `count` images add; weights stay."""
    batch = collate_views([images[i % len(images)] for i in range(count)])  # type: ignore[arg-type]
    data = model.data_preprocessor(batch, training=True)
    start = reset_peak()
    with precision(config):
        loss = model(**data, mode="loss")["loss"]
    loss.backward()
    model.zero_grad(set_to_none=True)
    return peak() - start


def precision(config: Config) -> AbstractContextManager[Any]:
    """The autocast that the config's optimizer wrapper trains in."""
    if config.optim_wrapper.type == "BFloat16OptimWrapper":
        return torch.autocast(get_device(), torch.bfloat16)
    return nullcontext()


def parameter_bytes(model: BaseModel) -> int:
    """Bytes of the trained parameters."""
    return sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)


def free_memory() -> int:
    """Bytes that the device has left; on a CPU, that the machine has for each process."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    return psutil.virtual_memory().available // get_world_size()


def reset_peak() -> int:
    """Bytes in use, from which :func:`peak` counts from now on."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of the resident set, see man 5 proc
    return psutil.Process().memory_info().rss


def peak() -> int:
    """The most bytes in use since :func:`reset_peak`."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
