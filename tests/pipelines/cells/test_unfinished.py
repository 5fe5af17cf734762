import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cells.folder import exclusive_lock
from pipelines.cells.unfinished import others_like

ABOUT = {
    "inputs": {"code": "1", "encoder": "random", "data": "1"},
    "settings": "1",
    "seed": 0,
    "commit": "",
}


def begin(stages: Path, name: str, **changes: Any) -> Path:
    """The folder of a training that stopped at step 8."""
    folder = stages / name
    folder.mkdir(parents=True)
    (folder / "step_8.pth").touch()
    (folder / "job.json").write_text(json.dumps({**ABOUT, **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "differs", "back"),
    [
        ({"inputs": {**ABOUT["inputs"], "code": "2"}, "commit": "a" * 40}, "code", "git checkout"),
        ({"inputs": {**ABOUT["inputs"], "code": "2"}}, "code", "bring back its code and"),
        ({"settings": "2"}, "config", "config.py"),
        ({"inputs": {**ABOUT["inputs"], "data": "2"}}, "data", "bring back data and"),
    ],
)
def test_a_training_that_stopped_is_named_with_the_way_back(
    tmp_path: Path, changes: dict[str, Any], differs: str, back: str
) -> None:
    other = begin(tmp_path, "pretrain-mae-0000", **changes)
    (line,) = others_like(tmp_path / "pretrain-mae-1111", ABOUT, "pretrain")
    assert f"beside {other}/step_8.pth" in line
    assert f"other {differs}:" in line and back in line


def test_one_of_an_older_version_is_named_too(tmp_path: Path) -> None:
    begin(tmp_path, "pretrain-mae-0000")
    (tmp_path / "pretrain-mae-0000" / "job.json").write_text('{"stage": "pretrain"}')
    (line,) = others_like(tmp_path / "pretrain-mae-1111", ABOUT, "pretrain")
    assert "what it began with" in line


def test_other_rows_seeds_and_what_runs_or_is_finished_are_not_named(tmp_path: Path) -> None:
    begin(tmp_path, "pretrain-mae-2-0000")  # of the row mae-2
    begin(tmp_path, "pretrain-mae-2222", seed=1)  # another repeat
    done = begin(tmp_path, "pretrain-mae-3333")
    (done / "result.json").write_text('{"metrics": {}, "checkpoint": null, "artifacts": {}}')
    with exclusive_lock(begin(tmp_path, "pretrain-mae-4444")):
        assert not list(others_like(tmp_path / "pretrain-mae-1111", ABOUT, "pretrain"))
