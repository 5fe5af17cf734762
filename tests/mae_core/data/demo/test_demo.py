import hashlib
import json
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from mae_core.data.demo import DemoSpec, prepare_demo
from mae_core.data.demo.garments import CLASSES, SHA256, Location, Split
from mae_core.data.demo.scenes import KINDS
from mae_core.errors import UserError

SMALL = DemoSpec(
    train_images=40, val_images=20, test_images=10, train_scenes=12, val_scenes=6, test_scenes=5
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_demo(tmp_path_factory.mktemp("data") / "demo", spec=SMALL)


def digests(root: Path) -> dict[str, str]:
    """Of all but dataset.json, which names the source: on a new machine that changes once."""
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.name != "dataset.json"
    }


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.asarray(image)


@pytest.mark.parametrize(("split", "count"), [("train", 4), ("val", 2), ("test", 1)])
def test_classes_are_balanced(demo: Path, split: str, count: int) -> None:
    folder = demo / "classification" / split
    assert sorted(p.name for p in folder.iterdir()) == sorted(CLASSES)
    for name in CLASSES:
        assert len(list((folder / name).glob("*.png"))) == count


def test_images_are_the_real_ones(demo: Path, splits: dict[str, Split]) -> None:
    for split, source in (("train", "train"), ("val", "t10k"), ("test", "t10k")):
        for path in (demo / "classification" / split).glob("*/*.png"):
            np.testing.assert_array_equal(read(path), splits[source].images[int(path.stem)])
            assert CLASSES[splits[source].labels[int(path.stem)]] == path.parent.name


def test_val_and_test_share_no_image(demo: Path) -> None:
    val, test = (
        {path.stem for path in (demo / "classification" / part).glob("*/*.png")}
        for part in ("val", "test")
    )
    assert val and test and not val & test


@pytest.mark.parametrize(("split", "count"), [("train", 12), ("val", 6), ("test", 5)])
def test_annotations_agree_with_each_other(demo: Path, split: str, count: int) -> None:
    coco = COCO(demo / "scenes" / f"instances_{split}.json")
    names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
    assert names == dict(enumerate(KINDS, start=1))
    assert len(coco.imgs) == count == len(list((demo / "scenes" / split).iterdir()))
    for image in coco.imgs.values():
        assert read(demo / "scenes" / split / image["file_name"]).shape == (60, 60)
        semantic = read(demo / "scenes" / f"{split}_masks" / image["file_name"])
        from_instances = np.zeros((60, 60), int)
        for annotation in coco.imgToAnns[image["id"]]:
            mask = coco.annToMask(annotation).astype(bool)
            assert not from_instances[mask].any(), "masks overlap"
            from_instances[mask] = annotation["category_id"]
            y, x = np.nonzero(mask)
            box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
            assert annotation["bbox"] == box and annotation["area"] == len(x)
        np.testing.assert_array_equal(semantic, from_instances)


def test_train_val_and_test_share_no_garment(demo: Path, splits: dict[str, Split]) -> None:
    photos = {}
    for name in ("train", "val", "test"):
        found = json.loads((demo / "scenes" / f"instances_{name}.json").read_text())
        photos[name] = {
            splits[a["source_split"]].images[a["source_index"]].tobytes()
            for a in found["annotations"]
        }
        assert len(photos[name]) == len(found["annotations"])
    assert not any(photos[one] & photos[other] for one, other in combinations(photos, 2))


def test_dataset_json_tells_where_it_comes_from(demo: Path) -> None:
    about = json.loads((demo / "dataset.json").read_text())
    assert about["source"] and about["licence"].startswith("MIT")
    assert about["sha256_of_content"] == SHA256
    assert about["identity"] == SMALL.identity()


def test_equal_seed_equal_bytes(demo: Path, tmp_path: Path) -> None:
    again = digests(prepare_demo(tmp_path / "again", spec=SMALL))
    assert again == digests(demo)
    other = replace(SMALL, seed=1)
    different = digests(prepare_demo(tmp_path / "other", spec=other))
    assert different["scenes/train/00000.png"] != again["scenes/train/00000.png"]


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    prepare_demo(tmp_path / "demo", spec=SMALL, progress=lambda *call: calls.append(call))
    assert calls == [(done, 93) for done in range(1, 94)]


def test_complete_data_is_reused_and_lost_files_are_restored(tmp_path: Path) -> None:
    root = prepare_demo(tmp_path / "demo", spec=SMALL)
    before, mark = digests(root), (root / "dataset.json").stat().st_mtime_ns
    prepare_demo(root, spec=SMALL)
    assert (root / "dataset.json").stat().st_mtime_ns == mark
    next(root.rglob("*.png")).unlink()
    assert digests(prepare_demo(root, spec=SMALL)) == before


def test_default_root_depends_on_the_spec(
    real: Location, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAE_BENCH_DATA", str(real.folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = prepare_demo(spec=SMALL)
    assert first.parent == tmp_path / "mae-bench" and first.name.startswith("demo-")
    assert prepare_demo(spec=DemoSpec(10, 10, 10, 1, 1)) != first


def test_foreign_folder_is_not_overwritten(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no demo data"):
        prepare_demo(tmp_path, spec=SMALL)
    with pytest.raises(UserError, match="'seed': 0"):
        prepare_demo(demo, spec=DemoSpec())
    assert (tmp_path / "thesis.txt").exists()


def test_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_demo(tmp_path / "demo", spec=SMALL, progress=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == [".demo.lock"]


def test_kill_in_the_middle_leaves_nothing_that_looks_complete(demo: Path, tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        if done == 50:
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(
        target=prepare_demo, args=[tmp_path / "demo"], kwargs={"spec": SMALL, "progress": kill}
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "demo").exists() and (tmp_path / ".demo.partial").exists()
    assert digests(prepare_demo(tmp_path / "demo", spec=SMALL)) == digests(demo)
    assert not (tmp_path / ".demo.partial").exists()


def test_two_at_once_build_once(tmp_path: Path) -> None:
    built: list[int] = []

    def build() -> Path:
        return prepare_demo(
            tmp_path / "demo", spec=SMALL, progress=lambda done, total: built.append(done)
        )

    with ThreadPoolExecutor(2) as pool:
        roots = [future.result() for future in [pool.submit(build) for _ in range(2)]]
    assert roots[0] == roots[1] and len(built) == SMALL.total


@pytest.mark.parametrize(
    "wrong",
    [
        {"train_images": 15},
        {"val_images": 10_000},
        {"test_images": 8_010},
        {"val_scenes": 0},
        {"test_scenes": 0},
        {"canvas": 20},
        {"seed": -1},
    ],
)
def test_wrong_size_is_a_clear_error(wrong: dict[str, int]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(UserError, match=f"{name}={value}: expected"):
        DemoSpec(**wrong)


def test_unwritable_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        prepare_demo(tmp_path / "file" / "demo", spec=SMALL)
