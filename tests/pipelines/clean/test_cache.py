import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mae_core.data.cache import atomic_folder, locked
from mae_core.data.demo import DemoSpec
from pipelines.clean.cache import in_cache, in_temporary
from tests.pipelines.clean.conftest import aged, put


def places(root: Path) -> dict[str, set[str]]:
    """The places of what could be removed, by kind."""
    found: dict[str, set[str]] = {}
    for item in in_cache(root, lambda text: None):
        found.setdefault(item.kind, set()).add(str(item.path.relative_to(root)))
    return found


def put_demo(folder: Path, identity: dict[str, int]) -> Path:
    put(folder / "dataset.json").write_text(json.dumps({"identity": identity}))
    return folder


def test_what_is_made_again_is_cache_and_what_a_killed_process_left_is_temporary(
    cache: Path,
) -> None:
    identity = DemoSpec().identity()
    put_demo(cache / "demo-now", identity)
    put_demo(cache / "demo-old", {**identity, "generator_version": 0})
    put(cache / "demo-mine" / "photo.png")
    put(cache / "fashion-mnist" / "train-images-idx3-ubyte.gz")
    for name in ("encoders/vit.safetensors", "encoders/run-1/e.pth", "wheels/torch-2/a.whl"):
        put(cache / name)
    put(cache / "encoders" / ".vit.safetensors.lock", 0)
    put(cache / "encoders" / "large.safetensors.part")
    put(cache / ".demo-new.partial" / "photo.png")
    put(cache / "tars" / "0123.npz")
    put(cache / "tars" / "4567.99999")
    aged(put(cache / "tars" / "89ab.99999"))
    aged(put(cache / "tmp0a_bcd12" / "file").parent)
    assert places(cache) == {
        "cache": {
            "demo-old",
            "encoders/run-1",
            "encoders/vit.safetensors",
            "tars/0123.npz",
            "wheels/torch-2",
        },
        "temporary": {
            ".demo-new.partial",
            "encoders/large.safetensors.part",
            "tars/89ab.99999",
            "tmp0a_bcd12",
        },
    }


def test_what_is_being_written_is_left_alone(cache: Path) -> None:
    target = cache / "encoders" / "run-1"
    with locked(target), atomic_folder(target):
        assert places(cache) == {}
    put(cache / "encoders" / ".run-2.partial" / "file")
    assert places(cache) == {
        "cache": {"encoders/run-1"},
        "temporary": {"encoders/.run-2.partial"},
    }


@pytest.mark.parametrize("module", ["stage_process", "warm_start"])
@pytest.mark.parametrize("same", [True, False])
def test_while_a_stage_runs_it_may_read_its_cache(
    cache: Path, tmp_path: Path, same: bool, module: str
) -> None:
    put(cache / "encoders" / "vit.safetensors")
    wait = [sys.executable, "-c", "input()", f"pipelines.cells.{module}"]
    place = {} if same else {"XDG_CACHE_HOME": str(tmp_path / "elsewhere")}
    process = subprocess.Popen(wait, stdin=subprocess.PIPE, env={**os.environ, **place})
    said: list[str] = []
    try:
        assert len(list(in_cache(cache, said.append))) == (not same)
    finally:
        process.communicate()
    told = f"a stage that uses it runs on this machine: {cache} is left alone"
    assert said == [told] * same


def test_there_may_be_no_cache(tmp_path: Path) -> None:
    assert not list(in_cache(tmp_path / "missing", lambda text: None))


def test_of_temporary_files_only_our_own_old_folders_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mae-bench-setup-a", "mae-bench-b", "tmp0a_bcd12", "other"):
        aged(put(tmp_path / name / "file").parent)
    put(tmp_path / "mae-bench-new" / "file")
    found = [item.path.name for item in in_temporary(tmp_path)]
    assert found == ["mae-bench-b", "mae-bench-setup-a"]
    monkeypatch.setattr("os.getuid", lambda: 12345)  # they are another user's
    assert not list(in_temporary(tmp_path))
