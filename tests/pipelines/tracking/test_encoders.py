import json
from pathlib import Path

import pytest

from mae_core import UserError
from mae_core.pixels import stated_pixels
from mae_core.stage import StageResult
from pipelines.recipes.checks import find_encoder
from pipelines.tracking.encoders import EncoderRef, Lookup
from pipelines.tracking.tracker import Tracker


def path_of(spec: str) -> str:
    return Lookup().encoder(spec).path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_runs_checkpoint_is_fetched_once(tracker: Tracker, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "encoder.safetensors").write_bytes(b"weights")
    run_id = tracker.start("pretrain[mae]", {})
    tracker.finish(run_id, StageResult({}, str(tmp_path / "encoder.safetensors")))
    found = Path(path_of(f"runs:/{run_id}"))
    assert found.read_bytes() == b"weights" and found.is_relative_to(cache)
    tracker.client.delete_run(run_id)
    assert path_of(f"runs:/{run_id}") == str(found)


def test_a_checkpoint_that_was_damaged_in_the_cache_is_fetched_again(
    tracker: Tracker, tmp_path: Path
) -> None:
    (tmp_path / "encoder.safetensors").write_bytes(b"weights")
    run_id = tracker.start("pretrain[mae]", {})
    tracker.finish(run_id, StageResult({}, str(tmp_path / "encoder.safetensors")))
    found = Path(path_of(f"runs:/{run_id}"))
    found.write_bytes(b"weighty")
    assert Path(path_of(f"runs:/{run_id}")).read_bytes() == b"weights"


def test_a_run_without_a_checkpoint_or_none_is_the_users_mistake(tracker: Tracker) -> None:
    with pytest.raises(
        UserError, match=f"'{(empty := tracker.start('knn', {}))}' has no checkpoint"
    ):
        path_of(f"runs:/{empty}")
    with pytest.raises(UserError, match="no MLflow run 'nothing'"):
        path_of("runs:/nothing")


@pytest.fixture
def stored(tracker: Tracker, tmp_path: Path) -> tuple[str, Path]:
    """A run with a checkpoint, and where MLflow keeps that."""
    (tmp_path / "encoder.safetensors").write_bytes(b"weights")
    run_id = tracker.start("pretrain[mae]", {})
    tracker.finish(run_id, StageResult({}, str(tmp_path / "encoder.safetensors")))
    place = str(tracker.client.get_run(run_id).info.artifact_uri).removeprefix("file://")
    return run_id, Path(place, "checkpoint", "encoder.safetensors")


def test_a_damaged_checkpoint_is_named_and_not_kept(stored: tuple[str, Path], cache: Path) -> None:
    run_id, file = stored
    file.write_bytes(b"weighty")
    for _ in range(2):
        with pytest.raises(UserError) as error:
            path_of(f"runs:/{run_id}")
        message = str(error.value)
        assert f"'checkpoint/{file.name}' of the MLflow run '{run_id}' is damaged" in message
        assert f"mlflow runs delete --run-id {run_id}" in message
    file.write_bytes(b"weights")
    assert Path(path_of(f"runs:/{run_id}")).read_bytes() == b"weights"


def test_other_names_are_as_ever() -> None:
    assert Lookup().encoder("random") == EncoderRef("random", "random")


@pytest.mark.parametrize(
    "name", ["x/../..", "../x", "..", "", "a b", "x/../../../../etc/apt", "ä", "a.b"]
)
def test_what_is_no_runs_id_never_becomes_a_path(name: str, cache: Path) -> None:
    with pytest.raises(UserError, match="names no MLflow run: expected runs:/ and the id"):
        path_of(f"runs:/{name}")
    assert not cache.exists()


def test_a_file_that_was_emptied_in_the_cache_is_fetched_again(stored: tuple[str, Path]) -> None:
    found = Path(path_of(f"runs:/{stored[0]}"))
    found.write_bytes(b"")
    assert Path(path_of(f"runs:/{stored[0]}")).read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["../x", "a/b", "", "/etc/passwd"])
def test_the_name_of_a_published_model_never_becomes_a_path(name: str, cache: Path) -> None:
    with pytest.raises(UserError, match="no model called"):
        path_of(f"timm:{name}")
    assert not cache.exists()


def test_parts_are_one_file_that_follows_their_content(tmp_path: Path, cache: Path) -> None:
    from tests.mae_core.test_unwrap import shards, state_of

    spec = str(shards(tmp_path, state_of(1)))
    first = path_of(spec)
    assert path_of(str(tmp_path)) == first and Path(first).is_relative_to(cache)
    shards(tmp_path, state_of(2))
    assert path_of(spec) != first
    find_encoder(str(tmp_path), Lookup())
    said = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    assert stated_pixels(path_of(spec)) == {"mean": [127.5] * 3, "std": [127.5] * 3}
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="lists the part"):
        path_of(spec)


def test_mlflow_is_reached_only_by_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # where nobody answers
    (tmp_path / "own.pth").write_bytes(b"weights")
    lookup = Lookup()
    for spec in ("random", str(tmp_path / "own.pth")):
        assert lookup.encoder(spec).path == spec
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9"):
        lookup.encoder("models:/mae-encoder/latest")
