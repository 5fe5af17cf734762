import os
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from mae_core.stage import StageResult
from pipelines.clean.files import LONG


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test alone; temporary files have one too."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache" / "mae-bench").mkdir(parents=True)
    return tmp_path / "cache" / "mae-bench"


def put(path: Path, size: int = 4096) -> Path:
    """A file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def aged(path: Path) -> Path:
    """A file or folder that nobody has changed for long."""
    then = time.time() - LONG - 60
    for one in [*path.rglob("*"), path]:
        os.utime(one, (then, then))
    return path


def put_stage(
    folder: Path, run_id: str, files: Iterable[str] = (), named: Iterable[str] | None = None
) -> Path:
    """A stage's folder: with `files`, finished with a result that has the `named` ones, if any."""
    put(folder / ".lock", 0)
    (folder / "run.json").write_text(f'{{"run_id": "{run_id}"}}')
    (folder / "job.json").write_text('{"encoder": "random"}')
    for name in files:
        put(folder / name)
    if named is not None:
        result = StageResult(artifacts={name: str(folder / name) for name in named})
        result.save(folder / "result.json")
    return folder
