import numpy as np
import pytest
import torch

from mae_core import UserError
from mae_core.engine.memory import enough_memory

MORE_THAN_ANY = 2**50  # bytes


def test_too_little_memory_is_told_with_what_to_change() -> None:
    with (
        pytest.raises(UserError, match=r"allocate 4503599627370496 bytes.*'auto'"),
        enough_memory(),
    ):
        torch.empty(MORE_THAN_ANY)


def test_so_is_a_gpus() -> None:
    with pytest.raises(UserError, match=r"CUDA out of memory\): make batch_size"), enough_memory():
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_other_errors_stay() -> None:
    with pytest.raises(RuntimeError, match="shape"), enough_memory():
        torch.zeros(2).reshape(3)


def test_so_is_numpys() -> None:
    with pytest.raises(UserError, match=r"Unable to allocate .*make batch_size"), enough_memory():
        np.zeros(MORE_THAN_ANY)
