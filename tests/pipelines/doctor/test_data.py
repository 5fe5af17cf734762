import json
from pathlib import Path

import pytest

from mae_core.data.demo import DemoSpec, garments
from mae_core.data.roots import DATA
from pipelines.doctor.data import check_data, check_demo
from tests.pipelines.clean.conftest import put
from tests.pipelines.doctor.conftest import only


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(garments, "SYSTEM_FOLDER", tmp_path / "package")
    monkeypatch.delenv(DATA, raising=False)
    return tmp_path / "cache" / "mae-bench"


def test_the_folder_of_the_data_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "photos" / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA, "photos")
    assert only(check_data()).found == f"{DATA}=photos, with 1 entries"
    monkeypatch.setenv(DATA, "photos/a.png")
    found = only(check_data())
    assert (found.mark, found.found) == ("wrong", f"{DATA}=photos/a.png: Not a directory")
    monkeypatch.delenv(DATA)
    assert only(check_data()).found.startswith(f"paths begin at {tmp_path}")


def test_the_demos_data_of_this_version_is_there_or_not_yet(cache: Path) -> None:
    assert only(check_demo()).found.startswith("not there yet: 31 MB")
    other = {**DemoSpec().identity(), "generator_version": 0}
    put(cache / "demo-old" / "dataset.json").write_text(json.dumps({"identity": other}))
    assert only(check_demo()).found.startswith("not there yet: 31 MB")
    about = put(cache / "demo-new" / "dataset.json")
    about.write_text(json.dumps({"identity": DemoSpec().identity()}))
    assert only(check_demo()).found == f"made in {cache}/demo-new"


def test_a_source_that_is_there_is_verified(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz")
    found = only(check_demo())
    assert found.mark == "wrong" and found.todo.startswith(f"delete {cache}/fashion-mnist")
    monkeypatch.setattr(garments, "verify", lambda folder: folder)
    assert only(check_demo()).found == f"will be made of Fashion-MNIST in {cache}/fashion-mnist"


def test_a_folder_of_data_without_the_source_cannot_serve_the_demo(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA, str(tmp_path))
    found = only(check_demo())
    assert (found.mark, found.todo) == ("warning", f"unset {DATA} for the demo")
