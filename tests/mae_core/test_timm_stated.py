"""What lies beside weights wins over timm's defaults for the architecture."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from mae_core import UserError
from mae_core.checkpoints import load_encoder, read_metadata, save_encoder
from mae_core.encoders.timm_zoo import TimmEncoder
from mae_core.published import resolve_encoder

RESNET, VIT = "test_resnet", "test_vit3"
STATED = {
    "input_size": [3, 96, 128],
    "mean": [0.1, 0.2, 0.3],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bilinear",
    "crop_pct": 0.8,
    "license": "cc-by-nc-4.0",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def hub_folder(folder: Path, arch: str, stated: dict[str, Any], **more: Any) -> Path:
    folder.mkdir()
    torch.manual_seed(0)
    save_file(timm.create_model(arch, num_classes=5).state_dict(), folder / "model.safetensors")
    config = {"architecture": arch, "num_classes": 5, "pretrained_cfg": stated, **more}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def assert_stated(path: str) -> None:
    about = read_metadata(path)
    assert about["pixels"]["mean"] == pytest.approx([25.5, 51, 76.5])
    assert about["preprocessing"] == {
        "input_size": [96, 128],
        "interpolation": "bilinear",
        "crop_pct": 0.8,
    }
    assert about["licence"] == "cc-by-nc-4.0"


def test_a_folder_that_timm_wrote_is_an_encoder_by_its_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = hub_folder(tmp_path / "hub", RESNET, STATED)
    path = resolve_encoder(str(folder))
    assert_stated(path)
    assert f"{folder} is licensed CC-BY-NC-4.0" in caplog.text
    for spec in (f"{folder}/model.safetensors", f"timm:{RESNET}@{folder}"):
        assert resolve_encoder(spec) == path
    assert load_encoder(path).family == "timm"


def test_a_file_elsewhere_has_the_architectures_defaults(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "hub", RESNET, STATED)
    (folder / "model.safetensors").rename(folder / "mine.safetensors")
    about = read_metadata(resolve_encoder(f"timm:{RESNET}@{folder}/mine.safetensors"))
    assert about["preprocessing"]["input_size"] == [160, 160] and about["licence"] == "unknown"


def test_the_metadata_of_a_file_are_read(tmp_path: Path) -> None:
    texts = {key: json.dumps(value) for key, value in STATED.items()}
    state = timm.create_model(RESNET, num_classes=0).state_dict()
    save_file(state, tmp_path / "a.safetensors", metadata=texts)
    assert_stated(resolve_encoder(f"timm:{RESNET}@{tmp_path}/a.safetensors"))


def test_a_file_of_ours_keeps_what_it_says(tmp_path: Path) -> None:
    encoder = TimmEncoder(VIT, img_size=96)
    pixels = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}
    save_encoder(tmp_path / "a.safetensors", encoder, pixels=pixels, licence="mit")
    path = resolve_encoder(f"timm:{VIT}@{tmp_path}/a.safetensors")
    about, again = read_metadata(path), load_encoder(path)
    assert about["pixels"]["std"] == pytest.approx([4, 5, 6]) and about["licence"] == "mit"
    assert again.img_size == (96, 96)
    for key, value in encoder.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("input_size", [224], "channels, height and width"),
        ("input_size", 224, "channels, height and width"),
        ("mean", ["a"], "a number for each channel"),
        ("std", [0, 1, 1], "a number above 0"),
        ("crop_pct", 7, "at most 1"),
        ("interpolation", 3, "a name"),
    ],
)
def test_what_cannot_be_is_refused(key: str, value: Any, expected: str, tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "hub", RESNET, STATED | {key: value})
    with pytest.raises(UserError, match=rf"hub.* says {key}=.*expected .*{expected}"):
        resolve_encoder(str(folder))


def test_a_model_built_with_other_arguments_is_refused(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "hub", VIT, {}, model_args={"depth": 3, "img_size": 160})
    with pytest.raises(UserError, match=rf"config.json builds {VIT} with depth, which"):
        resolve_encoder(str(folder))


def test_a_folder_of_transformers_is_none_of_timms(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "hub", VIT, {})
    (folder / "config.json").write_text(json.dumps({"architectures": ["ViTMAEModel"]}))
    assert resolve_encoder(str(folder)) == str(folder / "model.safetensors")
