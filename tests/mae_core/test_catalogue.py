from pathlib import Path

import pytest
import timm

from mae_core import UserError
from mae_core.catalogue import (
    ABSENT,
    FETCHED,
    KEPT,
    groups,
    here,
    input_size,
    made,
    matching,
    offers,
    parameters,
    where_weights_are,
)
from mae_core.checkpoints import save_encoder
from mae_core.encoders.registry import create_encoder
from mae_core.timm_models import config_of

RESNET = "test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mae-bench" / "encoders"


def test_all_kinds_are_there_once() -> None:
    specs = [offer.spec for offer in offers()]
    assert len(specs) == len(set(specs)) > 1000
    assert {"vit-tiny-p16", "timm:tf_efficientnet_lite0@package", f"timm:{RESNET}"} <= set(specs)
    few = [offer.spec for offer in here(offers())]
    assert "vit-tiny-p16" in few and f"timm:{RESNET}" not in few


@pytest.mark.parametrize("pattern", ["test_resnet", "test_res*r160*", f"timm:{RESNET}", RESNET])
def test_a_part_of_a_name_or_a_pattern_finds_it(pattern: str) -> None:
    (found,) = matching(pattern, offers())
    assert found.spec == f"timm:{RESNET}" and found.licence == "apache-2.0"
    model = timm.create_model("test_resnet", num_classes=0)
    assert parameters(found) == sum(p.numel() for p in model.parameters()) > 0
    assert input_size(found) == (160, 160)


@pytest.mark.parametrize("pattern", ["test_resnat", "test_resnat*"])
def test_no_match_names_the_nearest(pattern: str) -> None:
    with pytest.raises(UserError, match=r"no encoder's name fits 'test_resnat.*did you mean"):
        matching(pattern, offers())


def test_every_architecture_of_ours_has_weights_to_count() -> None:
    for offer in offers():
        if not offer.spec.startswith("timm:") and offer.family == "vit":
            assert parameters(offer) > 100_000 and input_size(offer) is None


def test_where_weights_are(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = config_of(RESNET)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert where_weights_are(RESNET, cfg) == ABSENT
    cfg.url = "https://example.org/a/test.pth"
    file = tmp_path / "torch" / "hub" / "checkpoints" / "test.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    assert where_weights_are(RESNET, cfg) == FETCHED
    cache.mkdir(parents=True)
    (cache / f"{RESNET}.safetensors").touch()
    assert where_weights_are(RESNET, cfg) == KEPT


def test_what_was_made_of_local_files_is_told(cache: Path) -> None:
    cache.mkdir(parents=True)
    encoder = create_encoder("vit-micro-p6", img_size=12)
    for number, source in enumerate(("timm:resnet18@/a/b.pth", "timm:resnet18", "/a/index.json")):
        save_encoder(cache / f"{number}.safetensors", encoder, source=source, licence="mit")
    assert list(made()) == [("0.safetensors", "timm:resnet18@/a/b.pth", "mit")]


def test_groups_count_all_of_timms_weights() -> None:
    found = groups()
    assert sum(count for _, count, _ in found) == len(timm.list_pretrained())
    names = [name for name, _, _ in found]
    assert names == sorted(set(names)) and {"resnet", "convnext", "eva"} <= set(names)
