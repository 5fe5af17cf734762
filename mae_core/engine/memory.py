"""A device, or a machine, that has less memory than a stage needs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mae_core.errors import UserError

ON_CPU = "can't allocate memory"  # in PyTorch's message


@contextmanager
def enough_memory() -> Iterator[None]:
    """Within the block tensors are allocated.

    Raises:
        UserError: in place of PyTorch's error where there is no room for one: another start of the
            same would end in the same way.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and ON_CPU not in str(error):
            raise
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"the memory does not suffice ({first}): make batch_size smaller (a training's is "
            "train_dataloader.batch_size, which may be 'auto'), or the images, or the model; what "
            "was trained so far is kept"
        ) from error
