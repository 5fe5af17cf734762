import os
from pathlib import Path

import pytest

from mae_core import UserError
from mae_core.data import demo, roots
from mae_core.data.roots import files_below, path_digest, resolve_path, resolve_root
from mae_core.data.sources import data_digest
from mae_core.data.state import data_state


def tree(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder.resolve()


def test_the_digest_follows_names_and_content_not_the_place(tmp_path: Path) -> None:
    first = path_digest(tree(tmp_path / "a", x="1", y="2"))
    assert path_digest(tree(tmp_path / "b", x="1", y="2")) == first
    others = [
        tree(tmp_path / "c", x="1", y="3"),
        tree(tmp_path / "d", x="1", z="2"),
        tree(tmp_path / "e", x="12", y=""),
        tree(tmp_path / "f", x="1", y="2", z=""),
        tree(tmp_path / "g", x="1"),
    ]
    digests = {first, *map(path_digest, others)}
    assert len(digests) == 6


def test_a_large_folder_is_known_by_names_sizes_and_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots, "CONTENT_LIMIT", 3)
    folders = [tree(tmp_path / "a", x="12", y="34"), tree(tmp_path / "b", x="12", y="35")]
    for file in [folder / name for folder in folders for name in "xy"]:
        os.utime(file, ns=(5, 5))
    first = path_digest(folders[0])
    assert path_digest(folders[1]) == first
    os.utime(folders[1] / "y", ns=(5, 6))
    path_digest.cache_clear()
    assert path_digest(folders[1]) != first
    assert path_digest(tree(tmp_path / "c", x="12", y="345")) != first


def test_swapped_images_of_a_large_folder_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots, "CONTENT_LIMIT", 3)
    folder = tree(tmp_path / "a", x="12", y="34")
    os.utime(folder / "x", ns=(5, 5))
    first = path_digest(folder)
    (folder / "x").rename(folder / "z")
    (folder / "y").rename(folder / "x")
    (folder / "z").rename(folder / "y")
    path_digest.cache_clear()
    assert path_digest(folder) != first


@pytest.mark.parametrize(
    "written",
    [
        ["runs/mlflow.db", "runs/mlartifacts/1/x.png", "runs/a/stages/knn/x.png"],
        ["mlflow.db", "mlartifacts/1/artifacts/x.png"],
        ["out/.lock"],
        ["out/.lock", "out/report/x.png", "out/stages/x/.lock", "out/stages-before-1/x/x.png"],
        ["deep/out/stages/knn-random-1/job.json", "deep/out/stages/knn-random-1/x.png"],
        [".trial-1/stages/trial/job.json"],
    ],
)
def test_what_we_write_below_the_data_is_no_data(
    tmp_path: Path, written: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """From its first moment: the digest must not change while a benchmark runs."""
    folder = tree(tmp_path / "a", **{"1.png": "1", "readme": "2"})
    before = path_digest(folder)
    for name in written:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
        path_digest.cache_clear()
        if "/" in name and name != "mlartifacts/1/artifacts/x.png":
            assert path_digest(folder) == before, name
    assert sorted(files_below(folder)) == ["1.png", "readme"]
    assert "is what mae-bench writes" in caplog.text


def test_folders_that_only_look_like_ours_stay(tmp_path: Path) -> None:
    for name in ("stages/1/x.png", "a/.lock", "a/x.png", "report/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert len(files_below(tmp_path)) == 4


def test_a_name_that_is_no_utf8_is_refused_as_data() -> None:
    with pytest.raises(UserError, match=r"the name a\\xff is no UTF-8"):
        resolve_path(os.fsdecode(b"a\xff"))


def test_a_missing_folder_names_what_is_there_instead(tmp_path: Path) -> None:
    tree(tmp_path / "images" / "train")
    tree(tmp_path / "images" / "val")
    with pytest.raises(UserError) as error:
        resolve_root(str(tmp_path / "images" / "trian" / "deep"))
    assert f"no data folder at {tmp_path}/images/trian/deep" in str(error.value)
    assert f"{tmp_path}/images exists and holds train, val" in str(error.value)


def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    tree(tmp_path / "a", x="1")
    with pytest.raises(UserError, match=r"no data folder at .*/a/x"):
        resolve_root(str(tmp_path / "a" / "x"))


def test_data_may_be_a_file(tmp_path: Path) -> None:
    folder = tree(tmp_path / "a", x="1")
    assert resolve_path(f"{folder}/x") == folder / "x"
    assert resolve_path(str(folder)) == folder
    with pytest.raises(UserError, match=f"no data at {folder}/y: {folder} exists and holds x"):
        resolve_path(f"{folder}/y")


def test_a_files_digest_follows_its_name_and_content(tmp_path: Path) -> None:
    first, same = tree(tmp_path / "a", x="1", y="1"), tree(tmp_path / "b", x="1")
    other = tree(tmp_path / "c", x="2")
    assert path_digest(first / "x") == path_digest(same / "x")
    assert len({path_digest(p) for p in (first / "x", first / "y", other / "x")}) == 3


def test_home_and_relative_paths_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tree(tmp_path / "images")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert resolve_root("~/images") == resolve_root("images") == folder


def test_demo_means_the_demos_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tree(tmp_path / "written" / "scenes")
    monkeypatch.setattr(demo, "prepare_demo", lambda: tmp_path / "written")
    assert resolve_root("demo/scenes") == folder
    assert resolve_root("demo") == folder.parent
    with pytest.raises(UserError, match="holds scenes"):
        resolve_root("demo/secnes")


def test_relative_paths_are_below_the_folder_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "a" / "photos", x="1")
    monkeypatch.chdir(tree(tmp_path / "elsewhere", y="2"))
    monkeypatch.setenv(roots.DATA, str(tmp_path / "a"))
    assert resolve_root("photos") == (tmp_path / "a" / "photos").resolve()
    assert resolve_root(str(tmp_path / "elsewhere")) == (tmp_path / "elsewhere").resolve()


@pytest.mark.parametrize("limit", [roots.CONTENT_LIMIT, 0])
def test_the_digest_covers_what_links_lead_to(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots, "CONTENT_LIMIT", limit)
    folder = tree(tmp_path / "elsewhere" / "photos", x="1")
    file = tree(tmp_path / "elsewhere" / "labels", y="1") / "y"
    root = tree(tmp_path / "mine")
    (root / "photos").symlink_to(folder)
    (root / "y").symlink_to(file)
    (tmp_path / "other").symlink_to(root)

    def found() -> tuple[str, str]:
        path_digest.cache_clear()
        return data_digest(str(tmp_path / "other")), data_state([str(tmp_path / "other")])

    seen = [found()]
    for path, content in ((folder / "x", "2"), (file, "2"), (folder / "z", "")):
        path.write_text(content)
        os.utime(path, ns=(len(seen), len(seen)))
        seen.append(found())
    (root / "y").unlink()
    (root / "y").symlink_to(tree(tmp_path / "elsewhere" / "third", y="3") / "y")
    seen.append(found())
    assert len({digest for digest, _ in seen}) == len({state for _, state in seen}) == 5


@pytest.mark.parametrize(
    "links",
    [
        {"mine/up": "mine"},
        {"mine/a/up": "mine"},
        {"mine/a/out": "aside", "aside/back": "mine/a"},
        {"mine/a/out": "aside/deep", "aside/deep/all": "aside"},
    ],
)
def test_links_that_lead_in_circles_are_refused(links: dict[str, str], tmp_path: Path) -> None:
    for name in ("mine/a", "aside/deep"):
        (tmp_path / name).mkdir(parents=True)
    for name, target in links.items():
        (tmp_path / name).symlink_to(tmp_path / target)
    with pytest.raises(UserError, match="links to a folder that it lies in: remove the link"):
        files_below(tmp_path / "mine")


def test_two_links_to_one_folder_are_no_circle(tmp_path: Path) -> None:
    folder = tree(tmp_path / "elsewhere", x="1")
    root = tree(tmp_path / "mine")
    (root / "a").symlink_to(folder)
    (root / "b").symlink_to(folder)
    assert sorted(files_below(root)) == ["a/x", "b/x"]
