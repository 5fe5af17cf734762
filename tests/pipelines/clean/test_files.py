import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.clean.files import entries, is_left, is_used, measured, remove
from tests.pipelines.clean.conftest import aged, put


def test_links_are_neither_listed_nor_followed(tmp_path: Path) -> None:
    target = put(tmp_path / "target" / "file").parent
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(target)
    (tmp_path / "link").symlink_to(target)
    assert entries(tmp_path / "link") == [] == entries(tmp_path / "folder")
    assert measured(tmp_path / "folder", set())[0] == 1  # the link itself
    remove(tmp_path / "folder")
    remove(tmp_path / "link")
    assert [path.name for path in target.iterdir()] == ["file"]


def test_what_is_counted_is_not_counted_again_and_a_second_name_takes_nothing(
    tmp_path: Path,
) -> None:
    for name in ("a", "b/c"):
        put(tmp_path / "folder" / name, 8192)
    counted: set[Path] = set()
    assert measured(tmp_path / "folder" / "a", counted) == (1, 8192)
    assert measured(tmp_path / "folder", counted) == (1, 8192)
    os.link(tmp_path / "folder" / "a", tmp_path / "other")
    assert measured(tmp_path / "other", set()) == (1, 0)
    assert measured(tmp_path / "missing", set()) == (0, 0)


@pytest.mark.parametrize("name", ["mae-bench-setup-x", "tmp0a_bcd12", ".trial-abc"])
def test_a_temporary_folder_is_left_if_it_is_old_and_unused(tmp_path: Path, name: str) -> None:
    folder = put(tmp_path / name / "file").parent
    assert not is_left(folder)
    assert is_left(aged(folder))
    (tmp_path / "link").symlink_to(folder)
    assert not is_left(tmp_path / "link")
    assert not is_left(aged(put(tmp_path / "templates" / "file").parent))
    put(folder / "new")
    assert not is_left(folder)


@pytest.mark.parametrize("how", ["command", "environment", "folder"])
def test_a_folder_is_used_by_a_process_that_was_told_of_it(tmp_path: Path, how: str) -> None:
    wait = [sys.executable, "-c", "input()", *([str(tmp_path)] if how == "command" else [])]
    process = subprocess.Popen(
        wait,
        stdin=subprocess.PIPE,
        cwd=tmp_path if how == "folder" else None,
        env={"TMPDIR": f"{tmp_path}/below"} if how == "environment" else None,
    )
    try:
        assert is_used(tmp_path)
    finally:
        process.communicate()
    assert not is_used(tmp_path)
