from pathlib import Path

import pytest

from mae_core.errors import UserError
from mae_core.stage import StageResult
from pipelines.tracking.encoders import Lookup
from pipelines.tracking.model_registry import (
    BEST,
    MODEL,
    aliased,
    probed,
    register,
    run_of_model,
    versions,
)
from pipelines.tracking.tracker import Tracker


@pytest.fixture
def runs(tracker: Tracker, tmp_path: Path) -> list[str]:
    """Two pretrainings, each with a checkpoint and a version."""
    made = []
    for number in range(2):
        checkpoint = tmp_path / str(number) / "encoder.safetensors"
        checkpoint.parent.mkdir()
        checkpoint.write_text(str(number))
        run_id = tracker.start("pretrain[mae]", {"stage": "pretrain"})
        register(tracker, run_id, {"recipe": "tiny"})
        tracker.finish(run_id, StageResult({}, str(checkpoint)))
        made.append(run_id)
    return made


def best(tracker: Tracker) -> str:
    found = aliased(tracker)
    assert found is not None
    return str(found.run_id)


def test_a_run_makes_one_version_however_often_it_is_entered(
    tracker: Tracker, runs: list[str]
) -> None:
    register(tracker, runs[0], {"recipe": "tiny"})
    (version,) = versions(tracker, runs[0])
    assert (version.version, version.tags["recipe"]) in ((1, "tiny"), ("1", "tiny"))


def test_the_best_linear_probe_has_the_alias(tracker: Tracker, runs: list[str]) -> None:
    first, second = runs
    assert aliased(tracker) is None
    probed(tracker, first, 0.5, "data")
    assert best(tracker) == first
    probed(tracker, second, 0.4, "data")
    assert best(tracker) == first
    probed(tracker, second, 0.6, "data")
    assert best(tracker) == second
    probed(tracker, first, 0.1, "other data")  # no longer comparable
    assert best(tracker) == first
    probed(tracker, "a run that made no version", 0.9, "data")
    assert best(tracker) == first


def test_every_name_leads_to_the_run_and_its_checkpoint(
    tracker: Tracker, runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    probed(tracker, runs[0], 0.5, "data")
    names = {f"{MODEL}/1": 0, f"{MODEL}/2": 1, f"{MODEL}/latest": 1, f"{MODEL}@{BEST}": 0}
    for name, number in names.items():
        spec = f"models:/{name}"
        found = Lookup().encoder(spec)
        assert found.run_id == runs[number]
        assert Path(found.path).read_text() == str(number)


def test_an_alias_that_moves_leaves_path_and_run_together(
    tracker: Tracker, runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec, lookup, asked = f"models:/{MODEL}@{BEST}", Lookup(), []
    probed(tracker, runs[0], 0.5, "data")

    def moving(spec: str, tracker: Tracker) -> str:
        """The alias moves as soon as somebody has asked for it."""
        asked.append(run_id := run_of_model(spec, tracker))
        probed(tracker, runs[1], 0.6, "data")
        return run_id

    monkeypatch.setattr("pipelines.tracking.model_registry.run_of_model", moving)
    first = lookup.encoder(spec)
    assert (first.run_id, Path(first.path).read_text()) == (runs[0], "0")
    assert lookup.encoder(spec) == first and asked == [runs[0]]
    later = Lookup().encoder(spec)
    assert (later.run_id, Path(later.path).read_text()) == (runs[1], "1")


@pytest.mark.parametrize("name", ["none/latest", f"{MODEL}@worst", f"{MODEL}/9", MODEL, ""])
def test_an_unknown_model_is_told_with_those_that_could_be_meant(
    tracker: Tracker, runs: list[str], name: str
) -> None:
    with pytest.raises(UserError, match=f"models:/{name}.*expected models:/{MODEL}/latest"):
        run_of_model(f"models:/{name}", tracker)
