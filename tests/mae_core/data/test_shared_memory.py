from collections.abc import Callable

import numpy as np
import pytest
import torch

from mae_core import UserError
from mae_core.data import shared_memory
from mae_core.data.shared_memory import enough_shared_memory, workers_for

ITEMS = [{"inputs": torch.zeros(3, 64, 64, dtype=torch.uint8), "label": 0}]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda count: monkeypatch.setattr(shared_memory, "_free", lambda: count)


def test_processes_that_do_not_fit_are_left_out_and_that_is_told(
    free: Callable[[int], None],
) -> None:
    told: list[str] = []
    needed = shared_memory.LOCKS + 4 * shared_memory.AHEAD * 8 * 3 * 64 * 64
    free(needed)
    assert workers_for(ITEMS, 8, 4, told.append) == 4 and not told
    free(needed - 1)
    assert workers_for(ITEMS, 8, 4, told.append) == 0
    assert "--shm-size" in told[0]
    assert workers_for(ITEMS, 8, 0, told.append) == 0 and len(told) == 1


def test_a_look_at_the_first_item_draws_nothing() -> None:
    class Drawing:
        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.rand(2) * float(np.random.rand())

    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    workers_for(Drawing(), 1, 1, print)
    assert np.random.rand() == expected


@pytest.mark.parametrize(
    "text",
    [
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that ...",
        "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)",
        "unable to write to file </torch_7_1>: No space left on device (28)",
    ],
)
def test_what_pytorch_says_of_it_becomes_one_message(text: str) -> None:
    with pytest.raises(UserError, match="too little shared memory"), enough_shared_memory():
        raise RuntimeError(text)


def test_other_errors_stay() -> None:
    with pytest.raises(RuntimeError, match="the device is gone"), enough_shared_memory():
        raise RuntimeError("the device is gone")
