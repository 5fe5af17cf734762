from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from downstream.dense.fit_recipe import fit_recipe
from downstream.scratch import recipe_for
from mae_core import UserError, create_encoder
from mae_core.checkpoints import save_encoder, save_weights
from mae_core.config import load_config
from mae_core.for_encoder import with_encoder
from pipelines.recipes.checks import config_for, find_encoder
from pipelines.recipes.rows import Row
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


@pytest.mark.parametrize(
    "fields",
    [
        {"arch": "vit-micro-p6", "img_size": 60, "depth": 2},
        {"arch": "timm:test_resnet", "img_size": 64},
    ],
)
def test_a_dense_recipe_counts_for_an_encoder_to_be_made_as_for_its_file(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    config = load_config("segment/upernet_vit-micro-p6_1xb20-14e_demo")
    depth = create_encoder(**config.encoder).depth
    made = Config({"encoder": fields, "pixels": config.pixels})
    planned = config_for(Row("mine", "pretrain", made), config)
    path = tmp_path / "made.safetensors"
    save_encoder(path, create_encoder(**fields), pixels=dict(config.pixels))
    plain = recipe_for(config, str(path))
    ran = fit_recipe(plain, with_encoder(plain, str(path)))
    assert planned.to_dict() == ran.to_dict()
    assert planned.model.backbone.layers != config.model.backbone.layers and depth != 2
    # What a trial makes of it, with random weights in place of those that are not there yet.
    again = recipe_for(planned, "random")
    assert fit_recipe(again, with_encoder(again, "random")).to_dict() == planned.to_dict()
