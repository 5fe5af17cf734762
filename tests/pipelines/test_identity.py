import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from mae_core import UserError
from mae_core.data.roots import path_digest
from mae_core.engine.config import load_config
from pipelines import identity
from pipelines.identity import code_version, data_roots, fingerprint


@pytest.fixture
def config(tmp_path: Path, configs: Path, images: Path) -> Config:
    shutil.copytree(images, tmp_path / "images")
    config = load_config(str(configs / "knn.py"))
    config.train_data.data = str(tmp_path / "images" / "train")
    return config


def new_process() -> None:
    """Forget what a process remembers for its life."""
    path_digest.cache_clear()
    code_version.cache_clear()


def test_the_same_work_has_the_same_fingerprint(config: Config) -> None:
    first = fingerprint(config, "random")
    new_process()
    assert fingerprint(Config(config.to_dict()), "random") == first


def test_another_config_has_another_fingerprint(config: Config) -> None:
    first = fingerprint(config, "random")
    config.k = 4
    assert fingerprint(config, "random") != first


@pytest.mark.parametrize("change", ["content", "name", "extra", "gone"])
def test_other_data_has_another_fingerprint(config: Config, change: str) -> None:
    first = fingerprint(config, "random")
    image = Path(config.train_data.data) / "class-0" / "0.png"
    if change == "content":
        content = bytearray(image.read_bytes())
        content[-20] ^= 1
        image.write_bytes(content)
    elif change == "name":
        image.rename(image.with_name("renamed.png"))
    elif change == "extra":
        shutil.copy(image, image.with_name("extra.png"))
    else:
        image.unlink()
    new_process()
    assert fingerprint(config, "random") != first


def test_the_encoders_content_counts_and_its_place_does_not(config: Config, tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (fingerprint(config, str(tmp_path / name)) for name in "abc")
    assert a == b
    assert len({a, c, fingerprint(config, "random")}) == 3


def test_other_code_has_another_fingerprint(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("mae_core", "downstream", "pipelines"):
        shutil.copytree(identity.SOURCE / package, tmp_path / package)
    monkeypatch.setattr(identity, "SOURCE", tmp_path)
    found = []
    for package in ("pipelines", "mae_core", "downstream"):
        with (tmp_path / package / "__init__.py").open("a") as file:
            file.write("# changed\n")
        new_process()
        found.append(fingerprint(config, "random"))
    monkeypatch.undo()
    new_process()
    before = fingerprint(config, "random")
    assert found[0] == before  # orchestration computes no result
    assert len({before, *found[1:]}) == 3


@given(first=st.text(max_size=4), second=st.text(max_size=4))
def test_fingerprints_are_equal_exactly_if_the_configs_are(first: str, second: str) -> None:
    one, other = (fingerprint(Config({"name": name}), "random") for name in (first, second))
    assert (one == other) == (first == second)


def test_what_only_changes_the_speed_does_not_count(configs: Path) -> None:
    def key(*overrides: str) -> str:
        config = load_config(str(configs / "pretrain.py"), overrides=overrides)
        return fingerprint(config, "random")

    assert key() == key("train_dataloader.num_workers=2") == key("sharded=True")
    assert key() != key("train_dataloader.batch_size=2")
    whole = ("effective_batch=8", "train_dataloader.batch_size=2")
    assert key("effective_batch=8") == key(*whole) != key("effective_batch=16")


def test_a_missing_data_folder_is_named(config: Config) -> None:
    config.val_data.data = config.train_data.data + "/nowhere"
    with pytest.raises(UserError, match=r"no data at .*nowhere.* exists and holds class-0"):
        fingerprint(config, "random")


def test_data_is_found_at_any_depth_once() -> None:
    nested = {"data_root": "b", "x": [{"y": ({"data": "a"}, {"data": "b", "names_in": "c"})}]}
    assert data_roots(Config(nested)) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["list.txt", "images.npz"])
def test_other_content_of_a_file_has_another_fingerprint(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("1")
    config = Config({"data": str(tmp_path / name)})
    first = fingerprint(config, "random")
    (tmp_path / name).write_text("2")
    new_process()
    assert fingerprint(config, "random") != first
