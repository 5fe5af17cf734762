"""A finished stage is found in MLflow by another work dir."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cells.cell import Cell, cell_folder
from pipelines.cells.launch import stopping_on_error
from pipelines.cells.reuse import download, restore
from pipelines.cells.run_cell import Outcome, Setting, run_cell
from pipelines.recipes.recipe import load_stage_config
from pipelines.tracking.artifacts import SHA256, Damaged

Shared = tuple[Setting, Path]


def make(configs: Path, *overrides: str) -> Cell:
    config = load_stage_config("finetune", str(configs / "finetune.py"), overrides)
    return Cell("finetune", "random", "random", config)


@pytest.fixture(scope="module", autouse=True)
def may_start() -> Iterator[None]:
    with stopping_on_error():
        yield


@pytest.fixture(scope="module")
def first(shared: Shared) -> Outcome:
    setting, configs = shared
    return run_cell(make(configs), setting)


@pytest.fixture
def elsewhere(shared: Shared, tmp_path: Path) -> Setting:
    return replace(shared[0], work_dir=tmp_path / "other")


@pytest.fixture
def no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("pipelines.cells.run_cell.launch")


def test_another_work_dir_gets_the_result_with_all_its_files(
    shared: Shared, first: Outcome, elsewhere: Setting, no_launch: None
) -> None:
    again = run_cell(make(shared[1]), elsewhere)
    assert (again.status, again.run_id) == ("reused", first.run_id)
    assert again.result.metrics == first.result.metrics
    assert again.result.artifacts.keys() == first.result.artifacts.keys()
    pairs = [(str(first.result.checkpoint), str(again.result.checkpoint))]
    pairs += [(path, again.result.artifacts[name]) for name, path in first.result.artifacts.items()]
    for before, after in pairs:
        assert Path(after).is_relative_to(elsewhere.work_dir)
        assert Path(after).read_bytes() == Path(before).read_bytes()


def test_the_same_data_at_another_place_is_the_same_work(
    shared: Shared, first: Outcome, elsewhere: Setting, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "copy")
    places = [
        f"train_dataloader.dataset.data={tmp_path / 'copy' / 'train'}",
        f"val_dataloader.dataset.data={tmp_path / 'copy' / 'val'}",
    ]
    cell = make(shared[1], *places)
    assert cell.key == make(shared[1]).key
    assert run_cell(cell, elsewhere).run_id == first.run_id


def test_what_was_begun_here_goes_on_here(
    shared: Shared, first: Outcome, elsewhere: Setting, no_launch: None
) -> None:
    cell = make(shared[1])
    folder = cell_folder(cell, elsewhere.work_dir)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    with pytest.raises(NameError, match="launch"):
        run_cell(cell, elsewhere)


def test_a_fresh_run_takes_nothing_from_elsewhere(
    shared: Shared, first: Outcome, elsewhere: Setting, no_launch: None
) -> None:
    with pytest.raises(NameError, match="launch"):
        run_cell(make(shared[1]), replace(elsewhere, elsewhere=False))


def test_another_row_is_other_work(
    shared: Shared, first: Outcome, elsewhere: Setting, no_launch: None
) -> None:
    with pytest.raises(NameError, match="launch"):
        run_cell(replace(make(shared[1]), encoder="other"), elsewhere)


@pytest.mark.parametrize("lost", ["result.json", "checkpoint", "everything"])
def test_a_run_whose_files_are_lost_is_not_taken(
    shared: Shared, first: Outcome, tmp_path: Path, lost: str
) -> None:
    tracker = shared[0].tracker
    copy = tracker.start("copy", {"fingerprint": "copy"})
    if lost != "everything":
        stored = tracker.client.download_artifacts(first.run_id, "", str(tmp_path))
        victim = Path(stored) / lost
        shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
        tracker.client.log_artifacts(copy, stored)
    target = empty_folder(tmp_path)
    assert not download(tracker.get(copy), tracker, target)
    assert untouched(target)
    assert download(tracker.get(first.run_id), tracker, target)


def empty_folder(tmp_path: Path) -> Path:
    target = tmp_path / "stages" / "target"
    target.mkdir(parents=True)
    return target


def untouched(target: Path) -> bool:
    return list(target.parent.iterdir()) == [target] and not list(target.iterdir())


@pytest.fixture
def copied(shared: Shared, first: Outcome, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A finished run like the first without checksums, as older ones are, and its stored files."""
    tracker = shared[0].tracker
    tags = tracker.client.get_run(first.run_id).data.tags
    known = {key: tags[key] for key in ("fingerprint", "encoder", "stage")}
    run_id = tracker.start("copy", known)
    stored = tracker.client.download_artifacts(first.run_id, "", str(tmp_path))
    tracker.client.log_artifacts(run_id, stored)
    tracker.end(run_id, "FINISHED")
    place = tracker.client.get_run(run_id).info.artifact_uri.removeprefix("file://")
    yield run_id, Path(place)
    tracker.client.delete_run(run_id)


def test_an_older_run_without_checksums_is_taken(
    shared: Shared, copied: tuple[str, Path], elsewhere: Setting, no_launch: None
) -> None:
    assert run_cell(make(shared[1]), elsewhere).run_id == copied[0]


@pytest.mark.parametrize("pattern", ["result.json", "checkpoint/*", "outcomes.npz"])
def test_a_damaged_file_is_told_and_the_next_run_taken(
    shared: Shared, first: Outcome, copied: tuple[str, Path], elsewhere: Setting, pattern: str
) -> None:
    run_id, stored = copied
    (file,) = stored.glob(pattern)
    name = str(file.relative_to(stored))
    tags = shared[0].tracker.client.get_run(first.run_id).data.tags
    shared[0].tracker.tag(run_id, **{SHA256 + name: tags[SHA256 + name]})
    file.write_bytes(file.read_bytes() + b" ")
    said: list[str] = []
    folder = cell_folder(make(shared[1]), elsewhere.work_dir)
    folder.mkdir(parents=True)
    key = make(shared[1]).key
    assert restore(key, "random", elsewhere.tracker, folder, said.append) == first.run_id
    (line,) = said
    assert line.startswith(f"not reused: '{name}' of the MLflow run '{run_id}' is damaged")


@pytest.mark.parametrize("kind", ["artifact", "checkpoint"])
@pytest.mark.parametrize("name", ["../../stolen.txt", "{tmp}/stolen.txt", "..", "sub/../../x"])
def test_a_result_that_names_files_outside_of_its_folder_moves_none(
    shared: Shared, copied: tuple[str, Path], tmp_path: Path, kind: str, name: str
) -> None:
    run_id, stored = copied
    for file in ("stolen.txt", "checkpoint/stolen.txt", "x", "checkpoint/x"):
        (stored / file).write_text("hostile")
    hostile = name.format(tmp=tmp_path)
    result = {"metrics": {}, "checkpoint": None, "artifacts": {}}
    result |= {"artifacts": {"a": hostile}} if kind == "artifact" else {"checkpoint": hostile}
    (stored / "result.json").write_text(json.dumps(result))
    target, tracker = empty_folder(tmp_path), shared[0].tracker
    with pytest.raises(Damaged, match="names a file outside of its folder"):
        download(tracker.get(run_id), tracker, target)
    assert untouched(target) and not list(tmp_path.rglob("stolen.txt"))


@pytest.mark.parametrize("content", ["[]", "{}", '{"metrics": 1}', "null", '"', '{"metrics": {'])
def test_a_result_that_is_none_is_not_taken(
    shared: Shared, copied: tuple[str, Path], tmp_path: Path, content: str
) -> None:
    run_id, stored = copied
    (stored / "result.json").write_text(content)
    target, tracker = empty_folder(tmp_path), shared[0].tracker
    assert not download(tracker.get(run_id), tracker, target)
    assert untouched(target)
