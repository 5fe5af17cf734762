import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mae_core import UserError
from mae_core.masking import STRATEGIES, mask_patches, visible_patches

strategies = st.sampled_from(sorted(STRATEGIES))
sides = st.integers(1, 9)


def noise_of(h: int, w: int, seed: int = 0, n: int = 3) -> torch.Tensor:
    return torch.rand(n, h * w, generator=torch.Generator().manual_seed(seed))


@given(h=sides, w=sides, ratio=st.floats(0, 0.95), seed=st.integers(0, 9), strategy=strategies)
def test_exactly_the_asked_number_is_masked_by_every_strategy(
    h: int, w: int, ratio: float, seed: int, strategy: str
) -> None:
    length = h * w
    kept = int(length * (1 - ratio))
    if kept == 0:
        with pytest.raises(UserError, match=f"leaves 0 of {length} patches"):
            visible_patches(length, ratio)
        return
    keep, hidden, mask = mask_patches(noise_of(h, w, seed), (h, w), ratio, strategy)
    assert keep.shape == (3, kept)
    assert mask.sum(dim=1).tolist() == [length - kept] * 3
    assert mask.gather(1, keep).sum() == 0
    assert mask.gather(1, hidden).sum() == 3 * (length - kept)
    every = torch.cat([keep, hidden], dim=1).sort(dim=1).values
    assert torch.equal(every, torch.arange(length).expand(3, -1))


def test_the_smallest_noise_stays_visible() -> None:
    keep, hidden, mask = mask_patches(torch.tensor([[0.9, 0.1, 0.5, 0.3]]), (2, 2), 0.5)
    assert keep.tolist() == [[1, 3]]
    assert hidden.tolist() == [[2, 0]]
    assert mask.tolist() == [[1, 0, 1, 0]]


def test_a_ratio_that_leaves_nothing_is_refused_with_the_numbers() -> None:
    with pytest.raises(UserError, match=r"mask_ratio 0.99 leaves 0 of 16 .*choose 0 to 0.938"):
        mask_patches(torch.rand(1, 16), (4, 4), 0.99)


def test_random_masking_hides_every_patch_equally_often() -> None:
    mask = mask_patches(noise_of(4, 4, n=4000), (4, 4), 0.75).mask
    assert (mask.mean(dim=0) - 0.75).abs().max() < 0.03


def borders(mask: torch.Tensor, h: int, w: int) -> float:
    """Share of neighbouring patches of which one is masked and the other visible."""
    image = mask.unflatten(1, (h, w))
    down = (image[:, 1:] != image[:, :-1]).float().mean()
    across = (image[:, :, 1:] != image[:, :, :-1]).float().mean()
    return float(down + across) / 2


def test_blocks_hold_together_and_lie_elsewhere_in_each_image() -> None:
    noise = noise_of(14, 14, n=200)
    block = mask_patches(noise, (14, 14), 0.5, "block").mask
    random = mask_patches(noise, (14, 14), 0.5, "random").mask
    assert borders(block, 14, 14) < 0.4 * borders(random, 14, 14)
    assert len(block.unique(dim=0)) == 200
    assert (block.mean(dim=0) > 0.2).all()  # no patch is safe


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_the_grid_keeps_a_regular_lattice(ratio: float) -> None:
    mask = mask_patches(noise_of(6, 8), (6, 8), ratio, "grid").mask.reshape(3, 3, 2, 4, 2)
    cells = mask.permute(0, 1, 3, 2, 4).reshape(-1, 4)
    assert (cells == cells[0]).all()
    assert cells[0].sum() == 4 * ratio
