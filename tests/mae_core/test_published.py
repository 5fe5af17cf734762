"""Downloads come from a folder of the hub's client, laid out as it does, with the network off."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from mae_core import UserError, create_encoder
from mae_core.checkpoints import read_layout, read_metadata, read_weights, save_encoder
from mae_core.published import licence_note, resolve_encoder

pytestmark = pytest.mark.slow

NAME = "vit_tiny_patch16_224.augreg_in21k"
RESOLVE = """
import os, sys, torch
from pathlib import Path
from mae_core import UserError
from mae_core.checkpoints import build_encoder
from mae_core.published import resolve_encoder
try:
    path = resolve_encoder(sys.argv[1])
except UserError as error:
    sys.exit(f"mistake: {error}")
(Path(os.environ["HF_HOME"]) / "hub").rename(os.environ["HF_HOME"] + "/gone")
assert resolve_encoder(sys.argv[1]) == path, "it is not kept"
encoder = build_encoder({"arch": sys.argv[2]}, path).eval()
with torch.no_grad():
    print(path, encoder(torch.ones(1, 3, 224, 224)).abs().sum().item())
"""


def resolve(spec: str, home: Path, arch: str = "vit-tiny-p16") -> subprocess.CompletedProcess[str]:
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", RESOLVE, spec, arch],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def hub_file(home: Path, name: str, model: nn.Module, left_out: str = "") -> None:
    repository = home / "hub" / f"models--timm--{name}"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    state = {key: value for key, value in model.state_dict().items() if key != left_out}
    save_file(state, snapshot / "model.safetensors")
    (snapshot / "config.json").write_text(json.dumps({"architecture": name.partition(".")[0]}))


def test_a_published_encoder_is_loaded_by_name_and_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=21843).eval()
    hub_file(tmp_path, NAME, model)
    found = resolve(f"timm:{NAME}", tmp_path)
    assert found.returncode == 0, found.stderr
    path, total = found.stdout.split()
    assert path == str(tmp_path / "mae-bench" / "encoders" / f"{NAME}.safetensors")
    with torch.no_grad():
        expected = model.forward_features(torch.ones(1, 3, 224, 224)).abs().sum().item()
    assert float(total) == pytest.approx(expected, rel=1e-3)


def test_no_network_is_told_with_the_way_out(tmp_path: Path) -> None:
    found = resolve(f"timm:{NAME}", tmp_path)
    assert found.returncode == 1
    assert found.stderr.strip().splitlines()[-1].startswith(f"mistake: timm:{NAME} cannot be down")
    assert "give the file's path" in found.stderr


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match=r"did you mean 'vit_base_patch16_224\.mae', '"):
        resolve_encoder("timm:vit_base_patch16_224.maee")


def test_a_model_of_any_family_is_loaded_by_name_with_what_it_was_trained_on(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=1000).eval()
    hub_file(tmp_path, "test_resnet.r160_in1k", model)
    found = resolve("timm:test_resnet", tmp_path, "timm:test_resnet")
    assert found.returncode == 0, found.stderr
    path, total = found.stdout.split()
    with torch.no_grad():
        expected = model.forward_features(torch.ones(1, 3, 224, 224)).abs().sum().item()
    assert float(total) == pytest.approx(expected, rel=1e-4)
    about = read_metadata(path)
    assert about["family"] == "timm" and about["source"] == "timm:test_resnet.r160_in1k"
    assert about["encoder"] == {"model": "test_resnet", "img_size": [160, 160], "in_chans": 3}
    assert about["licence"] == "apache-2.0"
    assert about["preprocessing"] == {
        "input_size": [160, 160],
        "interpolation": "bilinear",
        "crop_pct": 0.95,
    }


def test_a_file_on_the_hub_that_lacks_a_weight_is_not_loaded(tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=1000)
    hub_file(tmp_path, "test_resnet.r160_in1k", model, left_out="layer1.0.conv1.weight")
    found = resolve("timm:test_resnet.r160_in1k", tmp_path, "timm:test_resnet")
    assert found.returncode == 1
    assert "what was downloaded does not fit timm" in found.stderr
    assert "layer1.0.conv1.weight" in found.stderr
    assert not list((tmp_path / "mae-bench").rglob("*.safetensors"))


def test_what_timm_lets_pass_is_kept_with_the_weights(tmp_path: Path) -> None:
    model = timm.create_model("convnextv2_atto", num_classes=0)
    name = "convnextv2_atto.fcmae"
    hub_file(tmp_path, name, model, left_out="head.norm.weight")
    found = resolve(f"timm:{name}", tmp_path, "timm:convnextv2_atto")
    assert found.returncode == 0, found.stderr
    assert any("head.norm.weight" in note for note in read_layout(found.stdout.split()[0]).notes)
    assert f"timm:{name} is licensed CC-BY-NC-4.0: not for commercial use" in found.stderr


def test_a_file_of_a_former_version_gets_its_preprocessing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "mae-bench" / "encoders" / f"{NAME}.safetensors"
    path.parent.mkdir(parents=True)
    save_encoder(path, create_encoder("vit-tiny-p16"), licence="apache-2.0", source=f"timm:{NAME}")
    before = read_weights(path)
    assert resolve_encoder(f"timm:{NAME}") == str(path)
    about, after = read_metadata(path), read_weights(path)
    assert about["preprocessing"]["crop_pct"] == 0.9 and about["licence"] == "apache-2.0"
    assert all(torch.equal(before[key], after[key]) for key in before | after)


def test_maes_published_weights_carry_the_note_and_free_ones_none() -> None:
    mae = timm.get_pretrained_cfg("vit_base_patch16_224.mae")
    note = licence_note("timm:vit_base_patch16_224.mae", mae.license)
    assert note == (
        "timm:vit_base_patch16_224.mae is licensed CC-BY-NC-4.0: not for commercial use"
    )
    assert licence_note(NAME, timm.get_pretrained_cfg(NAME).license) == ""
    for licence in ("fair-noncommercial-research-license", "apple-amlr", "CC-BY-NC-SA-4.0"):
        assert "not for commercial use" in licence_note(NAME, licence)
