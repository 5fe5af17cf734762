import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import PARAM_SCHEDULERS

from mae_core.engine.schedule import warmup_cosine


def rates(max_epochs: int, warmup_epochs: float, steps: int) -> list[float]:
    """The rate of each step, of a base rate of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = [
        PARAM_SCHEDULERS.build({**fields, "optimizer": optimizer, "epoch_length": steps})
        for fields in warmup_cosine(max_epochs, warmup_epochs)
    ]
    found = []
    for _ in range(max_epochs * steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return found


def test_the_rates_are_the_papers() -> None:
    found = rates(max_epochs=10, warmup_epochs=2, steps=5)
    assert found[0] == pytest.approx(1e-3)
    assert found[9] == pytest.approx(1.0)
    cosine = [0.5 * (1 + math.cos(math.pi * step / 40)) for step in range(40)]
    assert found[10:] == pytest.approx(cosine, abs=1e-9)


@given(
    max_epochs=st.integers(1, 12),
    warmup=st.sampled_from([0, 0.5, 1, 1.5, 5, 40]),
    steps=st.integers(1, 7),
)
def test_the_rate_rises_to_the_base_then_falls_to_nothing(
    max_epochs: int, warmup: float, steps: int
) -> None:
    found = rates(max_epochs, warmup, steps)
    peak = found.index(max(found))
    assert max(found) <= 1 + 1e-9
    assert max(found) > 0.5
    assert peak <= max(min(warmup, max_epochs / 2) * steps, 1)
    assert found[: peak + 1] == sorted(found[: peak + 1])
    assert found[peak:] == sorted(found[peak:], reverse=True)
