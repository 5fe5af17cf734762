"""Several processes as one training: what torchrun's variables say, and how to join."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


def rank() -> int:
    """This process's number, 0 without torchrun."""
    return int(os.environ.get("RANK", 0))


def local_rank() -> int:
    """This process's number on its machine, 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", 0))


@contextmanager
def joined() -> Iterator[None]:
    """Within the block this process is one of those that torchrun started, if it was so started.

    GPUs talk through NCCL, CPUs through Gloo.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()
