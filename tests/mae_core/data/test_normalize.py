import torch
from hypothesis import given
from hypothesis import strategies as st

from mae_core.data.normalize import Normalize

means = st.lists(st.floats(0, 255), min_size=1, max_size=4)


@given(mean=means, std=st.floats(1, 255), seed=st.integers(0, 99))
def test_restore_inverts_images(mean: list[float], std: float, seed: int) -> None:
    normalize = Normalize(mean, [std] * len(mean))
    shape, generator = (2, len(mean), 3, 5), torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    assert torch.equal(normalize.restore(normalize.images(pixels)), pixels)


def test_predictions_out_of_range_are_clamped() -> None:
    normalize = Normalize([100.0], [10.0])
    images = torch.tensor([-1000.0, 0.0, 1000.0]).reshape(1, 1, 1, 3)
    assert normalize.restore(images).flatten().tolist() == [0, 100, 255]


def test_each_channel_has_its_own_mean_and_deviation() -> None:
    pixels = torch.full((1, 2, 1, 1), 100, dtype=torch.uint8)
    out = Normalize([90.0, 120.0], [10.0, 5.0])({"inputs": pixels, "label": torch.tensor([3])})
    assert out["inputs"].flatten().tolist() == [1.0, -4.0]
    assert out["label"].tolist() == [3]


def test_what_the_loader_drew_is_mirrored_and_the_batch_left_as_it_was() -> None:
    pixels = torch.arange(12, dtype=torch.uint8).view(3, 1, 2, 2)
    batch = {
        "inputs": pixels.clone(),
        "flip": torch.tensor([True, False, True]),
        "unreadable": torch.tensor([-1, 5, -1]),
        "seed": torch.tensor([1, 2, 2**63 - 1]),
    }
    out = Normalize([0.0], [1.0])(batch)
    assert torch.equal(out["inputs"][1], pixels[1].float())
    assert torch.equal(out["inputs"][[0, 2]], pixels[[0, 2]].flip(-1).float())
    assert out.keys() == {"inputs", "seed"} and out["seed"][2] == 2**63 - 1
    assert torch.equal(batch["inputs"], pixels) and "flip" in batch


def test_the_numbers_belong_to_the_config_not_to_the_weights() -> None:
    assert not Normalize([1.0], [1.0]).state_dict()
