import tempfile
from pathlib import Path

import pytest

from pipelines.doctor.hardware import (
    GIB,
    check_cores,
    check_disk,
    check_memory,
    check_shared_memory,
    check_writable,
    graded,
    limits,
)
from tests.pipelines.clean.conftest import put
from tests.pipelines.doctor.conftest import only


@pytest.mark.parametrize("check", [check_cores, check_memory, check_shared_memory])
def test_this_machine_has_some(check: object) -> None:
    assert "0 of" not in only(check()).found  # type: ignore[operator]


@pytest.mark.parametrize(("free", "mark"), [(0, "wrong"), (1, "warning"), (2, "ok"), (3, "ok")])
def test_little_is_a_warning_and_too_little_is_wrong(free: int, mark: str) -> None:
    assert only([graded("disk", "some", free, (1, 2), "make room")]).mark == mark


def put_group(folder: Path, names: tuple[str, str], limit: str, prefix: str = "") -> None:
    put(folder / names[0]).write_text(f"{limit}\n")
    put(folder / names[1]).write_text(f"{3 * GIB}\n")
    files = f"active_file 1\ninactive_file 1\n{prefix}active_file {GIB}\n"
    put(folder / "memory.stat").write_text(f"{files}{prefix}inactive_file {GIB}\n")


def test_the_limits_of_all_groups_count_but_not_what_caches_files(tmp_path: Path) -> None:
    groups = put(tmp_path / "cgroup")
    groups.write_text("0::/user.slice/job\n")
    two = ("memory.max", "memory.current")
    put_group(tmp_path / "user.slice" / "job", two, "max")
    put_group(tmp_path / "user.slice", two, str(4 * GIB))
    assert limits(groups, tmp_path) == [(4 * GIB, GIB)]
    groups.write_text("5:cpu,memory:/docker/a\n1:name=systemd:/\n0::/\n")
    one = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    put_group(tmp_path / "memory", one, str(8 * GIB), "total_")  # as a container sees its own
    assert limits(groups, tmp_path) == [(8 * GIB, GIB)]
    assert limits(tmp_path / "missing", tmp_path) == []


def test_folders_on_one_disk_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "there"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = only(check_disk()).found
    places = f"runs {tmp_path}/runs, cache {tmp_path}/not/there/mae-bench, temporary {tmp_path}"
    assert found.endswith(f"GiB free for {places}")
    assert only(check_writable()).mark == "ok" and not (tmp_path / "not").exists()


def test_what_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "runs")
    found = only(check_writable())
    assert found.mark == "wrong"
    assert found.found == f"cannot be written: runs {tmp_path}/runs: Not a directory"


def test_little_shared_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.doctor.hardware.SHARED", (1, 1 << 60))
    found = only(check_shared_memory(tmp_path))
    assert found.mark == "warning" and "--shm-size" in found.todo
    assert not list(check_shared_memory(tmp_path / "missing"))
