"""What a file says of the mean and deviation that its encoder was trained with."""

import json
from pathlib import Path
from typing import Any

import pytest

from mae_core import UserError, create_encoder
from mae_core.checkpoints import check_sizes, save_weights
from mae_core.pixels import stated_pixels

FIELDS = {"arch": "vit-micro-p6", "width": 16, "depth": 1, "heads": 2, "img_size": 12}
HALF = {"mean": [127.5] * 3, "std": [127.5] * 3}


def saved(path: Path, **about: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    save_weights(path, create_encoder(**FIELDS), **about)
    return str(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "preprocessor_config.json",
            {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 224},
        ),
        ("config.json", {"pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}),
    ],
)
def test_transformers_and_timm_say_it_beside_the_weights(
    tmp_path: Path, name: str, content: dict[str, Any]
) -> None:
    path = saved(tmp_path / "model" / "model.safetensors")
    assert stated_pixels(path) is None
    (tmp_path / "model" / name).write_text(json.dumps(content))
    assert stated_pixels(path) == stated_pixels(tmp_path / "model") == HALF
    path = saved(tmp_path / "model" / "mine.safetensors")
    assert stated_pixels(path) is None  # another file of the folder is not what they are about


@pytest.mark.parametrize("odd", [[1.0], {"mean": [1.0]}, {"mean": [1.0], "std": [0.0]}, "grey"])
def test_a_file_that_says_nonsense_is_refused_by_the_check(tmp_path: Path, odd: Any) -> None:
    path = saved(tmp_path / "a.safetensors", pixels=odd)
    with pytest.raises(UserError, match="says it was trained with pixels="):
        check_sizes(FIELDS, path)
