"""Clean up after two real benchmarks, then run them again."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console

from mae_core.errors import UserError
from pipelines.clean.files import walk
from pipelines.clean.items import Kind
from pipelines.clean.run import Found, Row, clean
from pipelines.clean.show import show
from pipelines.service.flow import mae_full_benchmark
from pipelines.tracking.tracker import Tracker
from tests.pipelines.clean.conftest import aged, put
from tests.pipelines.conftest import Pair

CHANGES = ("knn.k=1", "few-shot.seed=1")  # of the second of the two


class Done(NamedTuple):
    """A work dir with the stages of two benchmarks, of which the second is the newest."""

    folder: Path
    recipe: str
    tracker: Tracker

    @property
    def work(self) -> Path:
        return self.folder / "runs" / "work"

    def run(self, *changes: str) -> None:
        mae_full_benchmark(self.recipe, str(self.work), list(changes), strict=True)

    def ended(self) -> dict[str, int]:
        """When each stage's run was closed."""
        runs = self.tracker.client.search_runs([self.tracker.experiment])
        stages = [run for run in runs if run.data.tags["stage"] != "benchmark"]
        return {run.info.run_id: run.info.end_time for run in stages}


@pytest.fixture(scope="module")
def done(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("clean")
    database = Path(pair.tracker.uri.removeprefix("sqlite:///"))
    tracker = Tracker(f"sqlite:///{shutil.copy(database, folder)}")
    done = Done(folder, str(database.parent / "tiny.py"), tracker)
    shutil.copytree(database.parent / "second", done.work)
    for name in ("stages", "stages-before-20250101-000000"):
        shutil.copytree(database.parent / "first" / "stages", done.work / name, dirs_exist_ok=True)
    return done


@pytest.fixture
def here(done: Done, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Done:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", done.tracker.uri)
    monkeypatch.chdir(done.folder)
    return done


def listing(folder: Path) -> set[Path]:
    return {path for path, _ in walk(folder) if path.name != ".lock"}


def shown(found: Found, kinds: list[Kind], width: int = 80) -> list[str]:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        show(found, kinds, console)
    return capture.get().splitlines()


def test_finished_stages_keep_no_training_state(here: Done) -> None:
    assert list(here.work.rglob("stages/pretrain-*/encoder.safetensors"))
    assert not list(here.work.rglob("step_*"))


def test_without_a_kind_everything_is_shown_and_nothing_removed(here: Done) -> None:
    before = listing(here.folder)
    found = clean([], [])
    assert listing(here.folder) == before and found.freed == 0
    kinds = [kind for kind, _, _ in found.rows]
    assert kinds.count(Kind.SUPERSEDED) == 5  # two tasks of two encoders, and stages-before-...
    assert all(row.files and row.size for row in found.rows.values())
    lines = shown(found, [])
    assert len(lines) == len(kinds) + 2
    assert lines[0].split() == ["kind", "where", "what", "files", "size"]
    assert lines[-1].endswith("name the kinds that may go: mae-bench clean superseded cache")


def test_what_a_stage_would_go_on_from_is_not_offered_among_others() -> None:
    found = Found({(kind, Path("work"), "files"): Row(1, 4096) for kind in Kind})
    hint = "mae-bench clean checkpoints superseded cache temporary"
    assert shown(found, [])[-1] == f"20.5 kB in all; name the kinds that may go: {hint}"


def test_after_removing_every_kind_the_benchmark_is_reused(here: Done, cache: Path) -> None:
    (pretrain,) = here.work.glob("stages/pretrain-mae-*")
    put(pretrain / "step_8.pth", 8192)  # as former versions left it
    put(pretrain / "log.part")
    put(cache / "tars" / "0123.npz")
    aged(put(cache.parents[1] / "tmp" / "mae-bench-x" / "file").parent)
    report, before = listing(here.work / "report"), here.ended()
    found = clean([], [Kind.CHECKPOINTS])
    assert found.freed == 8192 and not (pretrain / "step_8.pth").exists()
    assert shown(found, [Kind.CHECKPOINTS])[-1] == "freed 8.2 kB"

    found = clean([Path("runs/work")], list(Kind))
    assert found.freed == sum(row.size for row in found.rows.values()) > 0
    assert not found.notes and not found.failed
    left = sorted(path.name.rpartition("-")[0] for path in (here.work / "stages").iterdir())
    expected = [f"{task}-{row}" for task in ("few-shot", "knn") for row in ("mae", "random")]
    assert left == ["", *expected, "pretrain-mae"]  # the first is that of the features' locks
    assert not list(here.work.glob("stages-before-*"))
    assert listing(here.work / "report") == report
    assert not clean([], []).rows

    here.run(*CHANGES)
    assert here.ended() == before
    here.run()  # what was superseded comes back from MLflow
    added = here.ended().keys() - before.keys()
    assert here.ended().items() >= before.items()
    tags = [here.tracker.client.get_run(run_id).data.tags for run_id in added]
    assert all("reused_from" in one for one in tags)


def test_a_folder_that_is_no_work_dir_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no work dir at {tmp_path}: expected .* stages/"):
        clean([tmp_path], [])


def test_what_cannot_be_removed_is_told(
    here: Done, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache / "tars" / "0123.npz")

    def fail(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pipelines.clean.run.remove", fail)
    found = clean([], [Kind.CACHE])
    assert f"{cache}/tars/0123.npz: Permission denied" in found.failed and not found.freed
