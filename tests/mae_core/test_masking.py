import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mae_core import UserError
from mae_core.masking import random_masking
from mae_core.patches import gather_patches


@given(length=st.integers(2, 80), ratio=st.floats(0, 0.95), seed=st.integers(0, 9))
def test_exactly_the_asked_number_is_masked(length: int, ratio: float, seed: int) -> None:
    kept = int(length * (1 - ratio))
    if kept == 0:
        return
    noise = torch.rand(3, length, generator=torch.Generator().manual_seed(seed))
    keep, restore, mask = random_masking(noise, ratio)
    assert keep.shape == (3, kept)
    assert mask.sum(dim=1).tolist() == [length - kept] * 3
    assert mask.gather(1, keep).sum() == 0
    assert torch.equal(restore.sort(dim=1).values[0], torch.arange(length))


def test_the_smallest_noise_stays_visible() -> None:
    keep, _, mask = random_masking(torch.tensor([[0.9, 0.1, 0.5, 0.3]]), 0.5)
    assert keep.tolist() == [[1, 3]]
    assert mask.tolist() == [[1, 0, 1, 0]]


def test_restore_puts_visible_and_masked_back_in_place() -> None:
    noise = torch.rand(2, 9)
    keep, restore, mask = random_masking(noise, 0.6)
    ids = torch.arange(9.0).expand(2, -1).unsqueeze(-1)
    visible = gather_patches(ids, keep)
    padded = torch.cat([visible, torch.full((2, 9 - keep.shape[1], 1), -1.0)], dim=1)
    placed = gather_patches(padded, restore).squeeze(-1)
    assert torch.equal(placed, torch.where(mask.bool(), -1.0, ids.squeeze(-1)))


def test_a_ratio_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"mask_ratio 0.99 leaves 0 of 16 patches"):
        random_masking(torch.rand(1, 16), 0.99)
