import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.data.mixup import Mixup

from downstream.classification.mixing import MixingNormalize
from mae_core.data.augment import seeded

PIXELS = {"mean": [100.0], "std": [50.0]}
PAPER = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "prob": 1.0, "switch_prob": 0.5, "mode": "batch"}


def batch(count: int, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return {
        "inputs": torch.from_numpy(rng.integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)),
        "label": torch.from_numpy(rng.integers(0, 5, count)),
        "seed": torch.from_numpy(rng.integers(0, 2**62, count)),
    }


@given(
    count=st.integers(1, 9),
    seed=st.integers(0, 1000),
    mode=st.sampled_from(["batch", "pair", "elem"]),
    smoothing=st.sampled_from([0.0, 0.1]),
)
def test_labels_become_shares_that_sum_to_one(
    count: int, seed: int, mode: str, smoothing: float
) -> None:
    mixed = MixingNormalize(5, smoothing, {**PAPER, "mode": mode}, PIXELS)(batch(count, seed), True)
    assert mixed["inputs"].shape == (count, 1, 8, 8)
    assert mixed["label"].shape == (count, 5)
    torch.testing.assert_close(mixed["label"].sum(1), torch.ones(count))
    assert (mixed["label"] >= 0).all()


def test_each_pair_is_timms_mixup_drawn_from_its_first_images_seed() -> None:
    given_batch = batch(6)
    mixed = MixingNormalize(5, 0.1, PAPER, PIXELS)(given_batch, True)
    images = (given_batch["inputs"].float() - 100) / 50
    mixup = Mixup(num_classes=5, label_smoothing=0.1, **PAPER)
    for first in (0, 2, 4):
        pair = slice(first, first + 2)
        with seeded(int(given_batch["seed"][first])):
            expected, shares = mixup(images[pair].clone(), given_batch["label"][pair])
        assert torch.equal(mixed["inputs"][pair], expected)
        assert torch.equal(mixed["label"][pair], shares)


def test_the_last_image_of_an_odd_batch_is_as_it_was() -> None:
    given_batch = batch(5)
    mixed = MixingNormalize(5, 0.0, PAPER, PIXELS)(given_batch, True)
    torch.testing.assert_close(mixed["inputs"][4] * 50 + 100, given_batch["inputs"][4].float())
    assert mixed["label"][4].argmax() == given_batch["label"][4] and mixed["label"][4].max() == 1
    assert not torch.allclose(mixed["inputs"][0] * 50 + 100, given_batch["inputs"][0].float())


def test_evaluation_does_not_mix_and_nothing_global_is_drawn() -> None:
    normalize = MixingNormalize(5, 0.1, PAPER, PIXELS)
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    normalize(batch(4), True)
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]
    seen = normalize(batch(4), False)
    assert torch.equal(seen["label"], batch(4)["label"])
    torch.testing.assert_close(seen["inputs"] * 50 + 100, batch(4)["inputs"].float())


@pytest.mark.parametrize("seed", [3])
def test_the_same_batch_is_mixed_alike(seed: int) -> None:
    first, second = (MixingNormalize(5, 0.1, PAPER, PIXELS)(batch(4, seed), True) for _ in range(2))
    assert torch.equal(first["inputs"], second["inputs"])
