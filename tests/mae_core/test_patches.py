import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mae_core import UserError
from mae_core.patches import gather_patches, patchify, unpatchify

small = st.integers(1, 5)


@given(n=small, c=small, h=small, w=small, p=small)
def test_unpatchify_inverts_patchify(n: int, c: int, h: int, w: int, p: int) -> None:
    images = torch.rand(n, c, h * p, w * p)
    patches = patchify(images, p)
    assert patches.shape == (n, h * w, p * p * c)
    assert torch.equal(unpatchify(patches, p, h * p, w * p), images)


def test_patches_run_row_by_row_with_channels_last() -> None:
    image = torch.arange(2 * 4 * 6).reshape(1, 2, 4, 6)
    assert (
        patchify(image, 2)[0, 1].tolist()
        == image[0, :, :2, 2:4].permute(1, 2, 0).flatten().tolist()
    )


def test_a_patch_that_does_not_divide_the_image_is_refused_with_the_numbers() -> None:
    with pytest.raises(UserError, match="28×30 pixels cannot be cut into patches of 8"):
        patchify(torch.zeros(1, 1, 28, 30), 8)


def test_gather_patches_picks_each_samples_own() -> None:
    tokens = torch.arange(12.0).reshape(2, 3, 2)
    picked = gather_patches(tokens, torch.tensor([[2], [0]]))
    assert picked.tolist() == [[[4.0, 5.0]], [[6.0, 7.0]]]
