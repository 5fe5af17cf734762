from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from mmengine.config import Config, ConfigDict

from mae_core import UserError, create_encoder
from mae_core.agreement import outline
from mae_core.checkpoints import build_encoder, check_sizes, load_encoder, save_encoder
from mae_core.encoders.timm_options import checked_options
from mae_core.encoders.timm_zoo import TimmEncoder
from mae_core.for_encoder import with_encoder

ARCH = "timm:convnextv2_atto"
OPTIONS = {"patch_size": 1, "depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}


def test_a_model_is_built_as_timm_builds_it_with_these_arguments() -> None:
    options = ConfigDict(patch_size=1, depths=(1, 1, 1, 1), dims=[8, 8, 16, 16])
    encoder = create_encoder(ARCH, img_size=32, options=options)
    assert encoder.config["options"] == OPTIONS and type(encoder.config["options"]) is dict
    assert (encoder.strides, encoder.widths) == ((1, 2, 4, 8), (8, 8, 16, 16))
    own = timm.create_model("convnextv2_atto", num_classes=0, **OPTIONS).eval()
    own.load_state_dict(encoder.model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(encoder.eval()(images), own.forward_features(images))


def test_without_options_a_config_is_what_it_was() -> None:
    for options in (None, {}):
        with torch.device("meta"):
            encoder = TimmEncoder("convnextv2_atto", 64, options=options)
        assert list(encoder.config) == ["model", "img_size", "in_chans"]


def test_a_file_builds_its_model_again_and_a_row_takes_it_from_there(tmp_path: Path) -> None:
    path, plain = str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")
    save_encoder(path, create_encoder(ARCH, img_size=32, options=OPTIONS))
    save_encoder(plain, create_encoder(ARCH, img_size=32))
    assert load_encoder(path).config["options"] == OPTIONS
    with_options = {"arch": ARCH, "img_size": 32, "in_chans": 3, "options": OPTIONS}
    without = {key: value for key, value in with_options.items() if key != "options"}
    for given in (with_options, without, {"arch": "vit-micro-p6", "img_size": 36, "in_chans": 3}):
        config = Config({"encoder": given, "pixels": {"mean": [1.0] * 3, "std": [1.0] * 3}})
        for source, options in ((path, OPTIONS), (plain, None)):
            used = with_encoder(config, source)
            assert used.encoder.get("options") == options
            assert outline(used.encoder.to_dict()).family == "timm"
            build_encoder(used.encoder.to_dict(), source)
    for fields, source in ((without, path), (with_options, plain)):
        with pytest.raises(UserError, match=r"has options=.*, the config asks for options="):
            check_sizes(fields, source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": [1]}, r"encoder.options of timm's convnextv2_atto has no field 'depth': did"),
        ({"img_size": 8}, r"has no field 'img_size'"),
        ({"pretrained": True}, r"has no field 'pretrained'"),
        ({"dims": {"a": 1}}, r"options.dims=\{'a': 1\}: expected a text, a number up to 65536"),
        ({"dims": [1 << 20] * 4}, r"options.dims=\[1048576, .*: expected a text, a number up to"),
        ([4, 5], r"options=\[4, 5\]: expected arguments of timm's model by name"),
        (
            {"dims": [8, 8]},
            r"timm cannot build convnextv2_atto with .*options=\{'dims'",
        ),
    ],
)
def test_options_that_do_not_do_are_named(options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message), torch.device("meta"):
        create_encoder(ARCH, img_size=32, options=options)


def test_options_are_checked_for_the_models_own_class() -> None:
    assert checked_options("resnet18", {"layers": (1, 1, 1, 1)}) == {"layers": [1, 1, 1, 1]}
    with pytest.raises(UserError, match="resnet18 has no field 'dims'"):
        checked_options("resnet18", {"dims": [8]})
