"""Which mean and deviation a stage takes off, and that it says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mae_core import UserError, create_encoder
from mae_core.checkpoints import check_sizes, save_weights
from mae_core.pixels import stated_pixels, with_pixels
from mae_core.stage import SilentReporter

FIELDS = {"arch": "vit-micro-p6", "width": 16, "depth": 1, "heads": 2, "img_size": 12}
OTHER = {"mean": [10.0, 20.0, 30.0], "std": [40.0, 50.0, 60.0]}
HALF = {"mean": [127.5] * 3, "std": [127.5] * 3}


class Notes(SilentReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def saved(path: Path, **about: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    save_weights(path, create_encoder(**FIELDS), **about)
    return str(path)


@pytest.fixture
def config() -> Config:
    return Config({"pixels": OTHER, "pixels_of": "encoder", "encoder": FIELDS})


def test_the_encoders_own_are_taken_over_and_told_once(config: Config, tmp_path: Path) -> None:
    path, reporter = saved(tmp_path / "a.safetensors", pixels=HALF), Notes()
    used = with_pixels(config, path, reporter)
    assert used.pixels == HALF and config.pixels == OTHER
    assert with_pixels(used, path, reporter) is used
    (note,) = reporter.notes
    for said in (path, "127.5, 127.5, 127.5", "10, 20, 30", "pixels_of='config'"):
        assert said in note


@pytest.mark.parametrize(
    "about", [{}, {"pixels": {"mean": [10.0, 20.0, 30.0001], "std": [40.0, 50.0, 60.0]}}]
)
def test_nothing_is_told_where_nothing_changes(
    config: Config, tmp_path: Path, about: dict[str, Any]
) -> None:
    reporter = Notes()
    path = saved(tmp_path / "a.safetensors", **about)
    for encoder in (path, "random"):
        assert with_pixels(config, encoder, reporter).pixels == OTHER
    assert reporter.notes == []


def test_the_users_choice_wins(config: Config, tmp_path: Path) -> None:
    config.pixels_of = "config"
    path = saved(tmp_path / "a.safetensors", pixels=HALF)
    assert with_pixels(config, path).pixels == OTHER


def test_pixels_of_other_channels_stay_the_configs(config: Config, tmp_path: Path) -> None:
    reporter = Notes()
    path = saved(tmp_path / "a.safetensors", pixels={"mean": [1.0], "std": [2.0]})
    assert with_pixels(config, path, reporter).pixels == OTHER
    assert "other channels" in reporter.notes[0]


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
