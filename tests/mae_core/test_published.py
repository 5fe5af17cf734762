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
from timm.models.vision_transformer import VisionTransformer

from mae_core import UserError
from mae_core.published import licence_note, resolve_encoder, to_encoder

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
encoder = build_encoder({"arch": "vit-tiny-p16"}, path)
print(path, encoder(torch.ones(1, 3, 224, 224)).abs().sum().item())
"""


def resolve(spec: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", RESOLVE, spec],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def hub_file(home: Path, name: str, model: VisionTransformer) -> None:
    repository = home / "hub" / f"models--timm--{name}"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    save_file(model.state_dict(), snapshot / "model.safetensors")
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
    with pytest.raises(UserError, match=r"did you mean 'vit_base_patch16_224\.mae'\?$"):
        resolve_encoder("timm:vit_base_patch16_224.maee")


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("vit_tiny_patch16_224", None),
        ("deit3_small_patch16_224", r"ls1\.gamma"),
        ("vit_little_patch16_reg4_gap_256", "cls_token"),
        ("vit_base_patch32_clip_quickgelu_224", "norm_pre"),
    ],
)
def test_only_a_plain_vit_passes_for_one(name: str, odd: str | None) -> None:
    model = timm.create_model(name, num_classes=0, depth=2)
    if odd is None:
        assert to_encoder(model, name).config["depth"] == 2
    else:
        with pytest.raises(UserError, match=rf"not a plain ViT.*{odd}"):
            to_encoder(model, name)


def test_another_activation_is_seen_by_its_features() -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2, act_layer="relu")
    with pytest.raises(UserError, match="our encoder's features differ by"):
        to_encoder(model, "relu")


def test_maes_published_weights_carry_the_note_and_free_ones_none() -> None:
    mae = timm.get_pretrained_cfg("vit_base_patch16_224.mae")
    note = licence_note("timm:vit_base_patch16_224.mae", mae.license)
    assert note == (
        "timm:vit_base_patch16_224.mae is licensed CC-BY-NC-4.0: not for commercial use"
    )
    assert licence_note(NAME, timm.get_pretrained_cfg(NAME).license) == ""
