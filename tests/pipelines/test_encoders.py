from pathlib import Path

import pytest

from mae_core import UserError
from mae_core.stage import StageResult
from pipelines.encoders import resolve_encoder, run_of
from pipelines.tracking import Tracker


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_runs_checkpoint_is_fetched_once(tracker: Tracker, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "encoder.safetensors").write_bytes(b"weights")
    run_id = tracker.start("pretrain[mae]", {})
    tracker.finish(run_id, StageResult({}, str(tmp_path / "encoder.safetensors")))
    found = Path(resolve_encoder(f"runs:/{run_id}"))
    assert found.read_bytes() == b"weights" and found.is_relative_to(cache)
    tracker.client.delete_run(run_id)
    assert resolve_encoder(f"runs:/{run_id}") == str(found)


def test_a_run_without_a_checkpoint_or_none_is_the_users_mistake(tracker: Tracker) -> None:
    with pytest.raises(
        UserError, match=f"'{(empty := tracker.start('knn', {}))}' has no checkpoint"
    ):
        resolve_encoder(f"runs:/{empty}")
    with pytest.raises(UserError, match="no MLflow run 'nothing'"):
        resolve_encoder("runs:/nothing")


def test_other_names_are_as_ever() -> None:
    assert resolve_encoder("random") == "random" and run_of("random") == ""
    assert run_of("runs:/abc") == "abc"
