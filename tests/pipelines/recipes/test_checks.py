from pathlib import Path

import pytest

from mae_core import UserError, create_encoder
from mae_core.checkpoints import save_weights
from pipelines.recipes.checks import find_encoder
from pipelines.tracking.encoders import EncoderRef, Lookup


def test_an_encoder_is_random_or_a_readable_file(tmp_path: Path) -> None:
    encoder = create_encoder("vit-micro-p6", img_size=12, width=16, depth=1, heads=2)
    good, damaged = tmp_path / "good.safetensors", tmp_path / "damaged.safetensors"
    save_weights(good, encoder, encoder=encoder.config)
    damaged.write_bytes(good.read_bytes()[:-100])
    lookup = Lookup()
    assert find_encoder("random", lookup) == EncoderRef("random", "random")
    assert find_encoder(str(good), lookup) == EncoderRef(str(good), str(good))
    with pytest.raises(UserError, match=r"damaged\.safetensors cannot be read"):
        find_encoder(str(damaged), lookup)
    with pytest.raises(UserError, match="no encoder at 'mae'"):
        find_encoder("mae", lookup)  # only a benchmark pretrains one
