"""Weights of timm's architectures from files, whole or not at all."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from mae_core import UserError
from mae_core.checkpoints import build_encoder, load_encoder, read_layout, read_metadata
from mae_core.convert import convert
from mae_core.describe import load_mae
from mae_core.published import resolve_encoder

pytestmark = pytest.mark.slow

# timm's own models for tests: a ConvNet with batch norm, one with layer norm, a ViT with LayerScale
# and attention pooling, and a plain ViT.
MODELS = ("test_resnet", "test_convnext", "test_vit3", "test_vit")
CONVNEXT, RESNET, VIT = "test_convnext", "test_resnet", "test_vit"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mae-bench" / "encoders"


def model_of(name: str, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return timm.create_model(name, **{"num_classes": 5} | options).eval()


def state_of(model: Any, prefix: str = "") -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in model.state_dict().items()}


def saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


@torch.no_grad()
def assert_same_features(path: str, model: Any) -> None:
    encoder = load_encoder(path).eval()
    generator = torch.Generator().manual_seed(3)
    channels = encoder.config["in_chans"]
    images = torch.randn(2, channels, *encoder.img_size, generator=generator)
    torch.testing.assert_close(
        encoder(images), model.forward_features(images), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("keys", "prefix"),
    [
        ((), ""),
        (("state_dict",), "module."),
        (("model",), "_orig_mod.backbone."),
        (("teacher", "state"), "module.net_of_mine.encoder."),
    ],
    ids=["plain", "ddp", "compiled", "nested"],
)
def test_wrappers_and_prefixes_are_stripped_and_said(
    name: str, keys: tuple[str, ...], prefix: str, tmp_path: Path, cache: Path
) -> None:
    model = model_of(name)
    content: Any = state_of(model, prefix)
    for key in reversed(keys):
        content = {key: content, "epoch": 3, "optimizer": {"lr": 0.1}}
    path = resolve_encoder(f"timm:{name}@{saved(content, tmp_path / 'a.pth')}")
    assert Path(path).parent == cache
    assert_same_features(path, model)
    about, notes = read_metadata(path), read_layout(path).notes
    assert about.get("family", "vit") == ("vit" if name == VIT else "timm")
    assert about["preprocessing"]["input_size"] == [160, 160]
    assert any(note.startswith("left out 2 of its classifier") for note in notes)
    assert any(note.startswith("stripped") for note in notes) is bool(prefix)
    assert any(note == f"taken from '{'.'.join(keys)}'" for note in notes) is bool(keys)


def test_safetensors_and_a_home_folder(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    model = model_of(RESNET)
    save_file(state_of(model), tmp_path / "a.safetensors")
    path = resolve_encoder(f"timm:{RESNET}@~/a.safetensors")
    assert_same_features(path, model)
    assert resolve_encoder(f"timm:{RESNET}@{tmp_path}/a.safetensors") == path
    save_file(state_of(model_of(RESNET, seed=1)), tmp_path / "a.safetensors")
    assert resolve_encoder(f"timm:{RESNET}@~/a.safetensors") != path


def test_an_average_comes_before_the_weights(tmp_path: Path, cache: Path) -> None:
    plain, average = model_of(RESNET), model_of(RESNET, seed=1)
    content = {"state_dict": state_of(plain), "state_dict_ema": state_of(average, "module.")}
    path = resolve_encoder(f"timm:{RESNET}@{saved(content, tmp_path / 'a.pth')}")
    assert_same_features(path, average)
    assert "not from 'state_dict', as averages come first" in read_layout(path).notes


def test_two_equal_models_are_refused(tmp_path: Path, cache: Path) -> None:
    content = state_of(model_of(RESNET), "left.") | state_of(model_of(RESNET, seed=1), "right.")
    with pytest.raises(UserError, match=r"several encoders \('left', 'right'\)"):
        resolve_encoder(f"timm:{RESNET}@{saved(content, tmp_path / 'a.pth')}")


def changed(state: dict[str, Tensor], change: str) -> dict[str, Tensor]:
    state = dict(state)
    if change == "missing":
        del state["layer1.0.conv1.weight"], state["layer2.0.bn1.running_mean"]
    elif change == "odd":
        state["layer9.0.conv1.weight"] = torch.zeros(1)
    elif change == "shape":
        state["conv1.0.weight"] = torch.zeros(1, 3, 7, 7)
    elif change == "nan":
        state["layer1.0.conv1.weight"] = torch.full_like(state["layer1.0.conv1.weight"], torch.nan)
    elif change == "int8":
        state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"].to(torch.int8)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"2 of its \d+ weights are missing \(layer1.0.conv1.weight, layer2.0.bn1.runn"),
        ("odd", r"1 in the file have no place \(layer9.0.conv1.weight\)"),
        ("shape", r"1 have another shape \(conv1.0.weight: \(1, 3, 7, 7\) for \("),
        ("nan", r"'layer1.0.conv1.weight' is not finite"),
        ("int8", r"'layer1.0.conv1.weight' holds int8"),
    ],
)
def test_what_fits_partly_says_which_keys_did_not_and_leaves_nothing(
    change: str, message: str, tmp_path: Path, cache: Path
) -> None:
    content = changed(state_of(model_of(RESNET)), change)
    path = saved({"model": content}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=message) as told:
        resolve_encoder(f"timm:{RESNET}@{path}")
    assert str(told.value).startswith(f"{path} does not fit timm's {RESNET}: ")
    assert not list(cache.glob("*.safetensors"))


def test_another_models_weights_are_refused(tmp_path: Path, cache: Path) -> None:
    path = saved(state_of(model_of(CONVNEXT)), tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"weights are missing \(.*have another shape \(stem"):
        resolve_encoder(f"timm:convnext_atto@{path}")
    with pytest.raises(UserError, match=r"holds none of the \d+ weights \(first there: "):
        resolve_encoder(f"timm:{RESNET}@{path}")
    with pytest.raises(UserError, match="no weights by name but epoch"):
        resolve_encoder(f"timm:{RESNET}@{saved({'epoch': 1}, tmp_path / 'b.pth')}")


def test_counters_of_batch_norms_may_be_missing(tmp_path: Path, cache: Path) -> None:
    model = model_of(RESNET)
    state = {k: v for k, v in state_of(model).items() if not k.endswith("num_batches_tracked")}
    assert_same_features(
        resolve_encoder(f"timm:{RESNET}@{saved(state, tmp_path / 'a.pth')}"), model
    )


def test_torchvisions_resnet_is_timms(tmp_path: Path, cache: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(weights=None).eval()
    encoder = load_encoder(
        resolve_encoder(f"timm:resnet18@{saved(theirs.state_dict(), tmp_path / 'a.pth')}")
    ).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        pooled = encoder(images).mean(dim=(2, 3))
        torch.testing.assert_close(theirs.fc(pooled), theirs(images), atol=1e-4, rtol=1e-4)


def original_convnext(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's names as facebookresearch/ConvNeXt has them."""
    names = (
        ("stem.", "downsample_layers.0."),
        (".blocks.", "."),
        ("conv_dw", "dwconv"),
        ("mlp.fc1", "pwconv1"),
        ("mlp.fc2", "pwconv2"),
        ("head.norm", "norm"),
        ("head.fc", "head"),
    )
    found = {}
    for key, value in state.items():
        if ".downsample." in key:
            _, stage, _, rest = key.split(".", 3)
            key = f"downsample_layers.{stage}.{rest}"
        for timms, theirs in names:
            key = key.replace(timms, theirs)
        found[key] = value
    return found


def test_another_projects_layout_is_read_as_timm_reads_it(tmp_path: Path, cache: Path) -> None:
    model = model_of(CONVNEXT)
    state = original_convnext(model.state_dict())
    assert "stages.0.0.dwconv.weight" in state and "head.weight" in state
    path = resolve_encoder(f"timm:{CONVNEXT}@{saved({'model': state}, tmp_path / 'a.pth')}")
    assert_same_features(path, model)
    assert any("classifier (head.fc.weight, head.fc.bias)" in n for n in read_layout(path).notes)


def test_positions_of_another_grid_are_resampled_and_said(tmp_path: Path, cache: Path) -> None:
    model = model_of(VIT, img_size=96)
    path = resolve_encoder(f"timm:{VIT}@{saved(state_of(model), tmp_path / 'a.pth')}")
    assert "resampled pos_embed" in read_layout(path).notes
    assert load_encoder(path).img_size == (160, 160)


def test_grey_weights_stay_grey_and_claim_no_pixels(tmp_path: Path, cache: Path) -> None:
    model = model_of(RESNET, in_chans=1)
    path = resolve_encoder(f"timm:{RESNET}@{saved(state_of(model), tmp_path / 'a.pth')}")
    assert_same_features(path, model)
    assert "its images have 1 channels, not 3" in read_layout(path).notes
    assert "pixels" not in read_metadata(path) and "preprocessing" in read_metadata(path)


def test_a_masked_convnexts_missing_norm_is_said(tmp_path: Path, cache: Path) -> None:
    name = "convnextv2_atto.fcmae"
    model = model_of("convnextv2_atto")
    state = {k: v for k, v in state_of(model).items() if not k.startswith("head.")}
    path = saved(state, tmp_path / "a.pth")
    found = resolve_encoder(f"timm:{name}@{path}")
    assert any("without head.norm.weight, head.norm.bias" in n for n in read_layout(found).notes)
    with pytest.raises(UserError, match=r"2 of its \d+ weights are missing \(head.norm.weight"):
        resolve_encoder(f"timm:convnextv2_atto@{path}")


def test_mistakes_of_the_name_are_told_before_the_file_is_read(cache: Path) -> None:
    (cache / "empty").mkdir(parents=True)
    for spec, message in (
        (f"timm:{RESNET}x@a.pth", f"did you mean '{RESNET}'"),
        (f"timm:{RESNET}x@random", f"did you mean '{RESNET}'"),
        (f"timm:{RESNET}@nowhere.pth", "no checkpoint at nowhere.pth"),
        (f"timm:{RESNET}@{cache}/empty", "empty: the folder has none of model.safetensors,"),
        (f"timm:{RESNET}@", "expected a file after '@'"),
    ):
        with pytest.raises(UserError, match=message):
            resolve_encoder(spec)
    for spec in (f"timm:{RESNET}@random", "pixels", "rcf", "random", "supervised"):
        assert resolve_encoder(spec) == spec


def test_a_stage_builds_it_and_what_is_for_vits_says_so(tmp_path: Path, cache: Path) -> None:
    model = model_of(RESNET)
    path = resolve_encoder(f"timm:{RESNET}@{saved(state_of(model), tmp_path / 'a.pth')}")
    built = build_encoder({"arch": f"timm:{RESNET}", "img_size": 160}, path)
    assert torch.equal(built.state_dict()["model.conv1.0.weight"], model.conv1[0].weight)
    fresh = build_encoder({"arch": f"timm:{RESNET}"}, f"timm:{RESNET}@random")
    assert not torch.equal(fresh.state_dict()["model.conv1.0.weight"], model.conv1[0].weight)
    with pytest.raises(UserError, match=r"is of the family 'timm', the config's vit-tiny-p16"):
        build_encoder({"arch": "vit-tiny-p16"}, path)
    with pytest.raises(UserError, match=rf"has model={RESNET}, the config asks for model=test_eff"):
        build_encoder({"arch": "timm:test_efficientnet"}, path)
    with pytest.raises(UserError, match="of the family 'timm': only ViTs have"):
        convert(path, tmp_path / "b.pth", "mae")
    with pytest.raises(UserError, match="holds an encoder without the decoder"):
        load_mae(path)
