import pytest
import torch

from mae_core.encoders import create_encoder
from mae_core.methods import Method, create_method
from mae_core.methods.cost import flops_an_image

SMALL = {"img_size": 12, "patch_size": 6, "width": 16, "depth": 3, "heads": 2}


def mae() -> Method:
    decoder = {"decoder_width": 8, "decoder_depth": 1, "decoder_heads": 2}
    return create_method("mae", create_encoder("vit-micro-p6", **SMALL), **decoder)


def vit_blocks(width: int, depth: int, tokens: int) -> int:
    """Multiplications: query, key, value, projection, an MLP of four times the width, attention."""
    return depth * (tokens * 12 * width * width + 2 * tokens * tokens * width)


def test_a_masked_autoencoders_count_is_that_of_its_matrix_products() -> None:
    """Of four patches one is visible, and embedded; the class token goes along."""
    pixels = 3 * 6 * 6
    encoder = pixels * 16 + vit_blocks(16, 3, tokens=2)
    decoder = 2 * 16 * 8 + vit_blocks(8, 1, tokens=5) + 4 * 8 * pixels
    assert flops_an_image(mae, (12, 12)) == 3 * 2 * (encoder + decoder)


def test_a_method_that_needs_numbers_is_counted_and_draws_nothing() -> None:
    def fcmae() -> Method:
        options = {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}
        encoder = create_encoder("timm:convnextv2_atto", img_size=64, options=options)
        return create_method("fcmae", encoder)

    before = torch.random.get_rng_state()
    found = flops_an_image(fcmae, (64, 64))
    assert torch.equal(before, torch.random.get_rng_state())
    assert found > 0


def test_a_method_that_fails_says_so() -> None:
    class Broken(Method):
        encoder = create_encoder("vit-micro-p6", **SMALL)

        def losses(self, images: torch.Tensor, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        flops_an_image(Broken, (12, 12))
