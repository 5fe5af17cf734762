import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.cells.folder import exclusive_lock, finished_result, locked_at_once
from pipelines.clean.items import Kind
from pipelines.clean.run import clean
from pipelines.clean.work_dirs import below, in_work_dir, needed_files, superseded
from tests.pipelines.clean.conftest import aged, put, put_stage

NAMES = (
    "encoder.safetensors",
    "result.png",
    "best.pth",
    "step_4.pth",
    "step_8.pth",
    "step_8.damaged",
    "log.part",
    "probe/step_2.pth",
    "tmp0a_bcd12/file",
    "features.part.npz",
)


def kinds(folder: Path) -> dict[str, set[str]]:
    """The places of what could be removed, by kind."""
    found: dict[str, set[str]] = {}
    for item in in_work_dir(folder, lambda text: None):
        found.setdefault(item.kind, set()).add(str(item.path.relative_to(folder)))
    return found


def note_benchmark(folder: Path, *run_ids: str) -> None:
    cells = {f"cell-{run_id}": run_id for run_id in run_ids}
    (folder / "benchmark.json").write_text(json.dumps({"run_id": "b", "cells": cells}))


def test_work_dirs_are_found_at_any_depth_but_not_through_links(tmp_path: Path) -> None:
    for name in ("a/stages/x", "group/b/stages-before-20250101-000000/x", "mlartifacts/c/stages/x"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "elsewhere" / "stages").mkdir(parents=True)
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "elsewhere")
    found = [str(path.relative_to(tmp_path / "runs")) for path in below(tmp_path / "runs")]
    assert found == ["a", "group/b"]


def test_each_file_has_its_kind(tmp_path: Path, cache: Path) -> None:
    work = tmp_path / "work"
    put_stage(work / "stages" / "pretrain-mae-1", "1", NAMES, ["encoder.safetensors"])
    put_stage(work / "stages" / "detect-mae-2", "2", ["step_4.pth", "step_8.pth.part"])
    put_stage(work / "stages-before-20250101-000000" / "knn-mae-3", "3", (), ())
    put(work / "stages" / "features" / "0123.npz")
    put(work / "stages" / "features" / "0123.lock", 0)
    aged(put(work / ".trial-abc" / "file").parent)
    aged(put(work / "stages" / "tmp0a_bcd12" / "file").parent)
    put(work / ".trial-now" / "file")
    put(work / "report" / "report.html")
    aged(work / "stages" / "pretrain-mae-1" / "tmp0a_bcd12")
    one, two = "stages/pretrain-mae-1", "stages/detect-mae-2"
    trained = ("probe/step_2.pth", "step_4.pth", "step_8.damaged", "step_8.pth")
    parts = ("features.part.npz", "log.part", "tmp0a_bcd12")
    assert kinds(work) == {
        "checkpoints": {f"{one}/{name}" for name in trained},
        "superseded": {"stages-before-20250101-000000"},
        "unfinished": {two},
        "cache": {"stages/features/0123.npz"},
        "temporary": {
            *(f"{one}/{name}" for name in parts),
            f"{two}/step_8.pth.part",
            ".trial-abc",
            "stages/tmp0a_bcd12",
        },
    }


def test_what_the_newest_benchmark_has_anew_is_superseded(tmp_path: Path) -> None:
    stages = tmp_path / "stages"
    for name in ("knn-mae-1", "knn-mae-2", "knn-mae-3", "finetune-mae-4", "knn-random-5"):
        put_stage(stages / name, name[-1], (), ())
    put_stage(stages / "knn-mae-6", "6")  # was interrupted
    assert superseded(stages) == set()
    note_benchmark(tmp_path, "2", "3", "5")  # two seeds of kNN
    assert superseded(stages) == {stages / "knn-mae-1"}
    (tmp_path / "benchmark.json").write_text('{"run_id": "c"}')  # another one was begun
    assert superseded(stages) == set()


def test_what_another_stage_reads_is_needed(tmp_path: Path, cache: Path) -> None:
    old, new = (tmp_path / "a" / "stages" / f"pretrain-mae-{number}" for number in "12")
    for folder in (old, new):
        put_stage(folder, folder.name[-1], ["encoder.safetensors"], ["encoder.safetensors"])
    note_benchmark(tmp_path / "a", "2")
    assert clean([tmp_path / "a"], []).rows
    other = put_stage(tmp_path / "b" / "stages" / "knn-encoder-3", "3", (), ())
    (other / "job.json").write_text(json.dumps({"encoder": str(old / "encoder.safetensors")}))
    assert not clean([tmp_path / "a", tmp_path / "b"], []).rows
    assert old / "encoder.safetensors" in needed_files([tmp_path / "b"])


@pytest.mark.parametrize("used", ["stages/detect-mae-2", "stages-before-1/knn-mae-3", "."])
def test_what_somebody_works_at_is_left_alone_and_told(tmp_path: Path, used: str) -> None:
    put_stage(tmp_path / "stages" / "pretrain-mae-1", "1", ["step_4.pth"], ())
    put_stage(tmp_path / "stages" / "detect-mae-2", "2", ["step_4.pth"])
    put_stage(tmp_path / "stages-before-1" / "knn-mae-3", "3", (), ())
    said: list[str] = []
    with exclusive_lock(tmp_path / used, shared=used == "."):
        found = [item.kind for item in in_work_dir(tmp_path, said.append)]
    left = {
        "stages/detect-mae-2": ["checkpoints", "superseded"],
        "stages-before-1/knn-mae-3": ["unfinished", "checkpoints"],
        ".": [],
    }
    assert found == left[used]
    (line,) = said
    assert line.startswith(f"{tmp_path / used.removesuffix('/knn-mae-3')} is in use")


def test_nobody_begins_at_what_is_being_removed(tmp_path: Path) -> None:
    put_stage(tmp_path / "stages" / "detect-mae-2", "2", ["step_4.pth"])
    (item,) = found = list(in_work_dir(tmp_path, lambda text: None))
    assert [one.kind for one in found] == [Kind.UNFINISHED]
    for current in in_work_dir(tmp_path, lambda text: None):
        assert current == item
        for folder in (tmp_path, item.path):
            with locked_at_once(folder / ".lock") as free:
                assert not free


named = st.sets(st.sampled_from(NAMES))
stage = st.tuples(st.sampled_from(["pretrain-mae", "knn-mae"]), named, st.none() | named)


@given(
    stages=st.lists(stage, min_size=1, max_size=5),
    current=st.sets(st.integers(0, 4)),
    chosen=st.sets(st.sampled_from(list(Kind))),
)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_file_that_a_result_names_is_ever_removed(
    cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
    stages: list[tuple[str, set[str], set[str] | None]],
    current: set[int],
    chosen: set[Kind],
) -> None:
    """But for those of a whole stage that the newest benchmark has anew."""
    work = tmp_path_factory.mktemp("work")
    outside = put(tmp_path_factory.mktemp("outside") / "step_4.pth")
    made = []
    for number, (name, files, result) in enumerate(stages):
        folder = work / "stages" / f"{name}-{number}"
        made.append(put_stage(folder, str(number), files | (result or set()), result))
        (folder / "link").symlink_to(outside.parent)
    note_benchmark(work, *map(str, current))
    aged(work)
    old, before = superseded(work / "stages"), {path: finished_result(path) for path in made}
    clean([work], list(chosen))
    assert outside.exists()
    for path, result in before.items():
        if path in old and Kind.SUPERSEDED in chosen:
            assert not path.exists()
        elif result or Kind.UNFINISHED not in chosen:
            assert finished_result(path) == result and (path / "run.json").exists()
