import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from mae_core import UserError
from mae_core.data.sources.base import NO_LABEL
from mae_core.data.sources.tar import OPEN_FILES, TarSource
from tests.forms import some_images, write_shards, write_tar, write_web_dataset


def sequence(source: TarSource) -> list[bytes]:
    return [source.read(i) for i in range(len(source))]


def test_the_spread_over_shards_does_not_matter(tmp_path: Path) -> None:
    images = some_images()
    for count in (1, 2, 5):
        root = write_shards(tmp_path / str(count), images, count)
        source = TarSource(sorted(root.iterdir()))
        assert sequence(source) == list(images.values())
        assert source.classes == ["c8", "c9", "c10"]
        assert source.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert source.name(5) == f"{root}/0.tar/c9/3.jpg"


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ({"c8": 2, "c9": 0, "c10": 3}, ["0", "1", "2", "3"], [2, 0, 3]),
        ({"c8": 0, "c9": 0, "c10": 0}, ["0"], [0, 0, 0]),
        ({"c8": "zebra", "c9": "ant", "c10": "cow\n"}, ["ant", "cow", "zebra"], [2, 0, 1]),
        ({"c8": "", "c9": "x", "c10": "y"}, ["x", "y"], [NO_LABEL, 0, 1]),
    ],
)
def test_cls_members_hold_the_labels(
    tmp_path: Path, labels: dict[str, object], classes: list[str], expected: list[int]
) -> None:
    images = some_images(each=1)
    root = write_web_dataset(tmp_path / "shards", images, labels)
    source = TarSource([root / "0.tar"])
    assert sequence(source) == list(images.values())
    assert source.classes == classes
    assert source.labels.tolist() == expected


def test_the_same_key_in_two_shards_means_two_images(tmp_path: Path) -> None:
    shards = [
        write_tar(tmp_path / f"{i}.tar", {"0.jpg": b"%d" % i, "0.cls": b"%d" % i}) for i in range(2)
    ]
    source = TarSource(shards)
    assert sequence(source) == [b"0", b"1"]
    assert source.labels.tolist() == [0, 1]


def test_a_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", {"0.jpg": b"", "0.cls": b"99999999999"})
    with pytest.raises(UserError, match=r"x\.tar has the label 99999999999: expected class num"):
        TarSource([shard])


def test_members_at_the_top_without_cls_have_no_labels(tmp_path: Path) -> None:
    source = TarSource([write_tar(tmp_path / "x.tar", {"./b.jpg": b"b", "a.jpg": b"a"})])
    assert (source.classes, source.labels.tolist()) == ([], [NO_LABEL] * 2)
    assert source.name(1) == f"{tmp_path}/x.tar/b.jpg"


def test_other_processes_read_the_same(tmp_path: Path) -> None:
    images = some_images()
    source = TarSource(sorted(write_shards(tmp_path / "shards", images).iterdir()))
    source.read(0)
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        assert list(pool.map(source.read, range(len(source)))) == list(images.values())
    assert sequence(pickle.loads(pickle.dumps(source))) == list(images.values())


def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    images = {f"{i}.jpg": b"%d" % i for i in range(OPEN_FILES + 50)}
    source = TarSource(list(write_shards(tmp_path / "shards", images, len(images)).iterdir()))
    before = len(os.listdir("/proc/self/fd"))
    assert sequence(source) == list(images.values())
    assert len(os.listdir("/proc/self/fd")) <= before + OPEN_FILES


def test_labels_and_names_are_compact(tmp_path: Path) -> None:
    images = {f"class/{i:05d}.jpg": b"" for i in range(1_000)}
    source = TarSource([write_tar(tmp_path / "x.tar", images)])
    assert len(pickle.dumps(source)) / len(images) < 60


def test_a_tar_without_images_is_named(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", {"readme.txt": b"1"})
    with pytest.raises(UserError, match=rf"{shard} holds no images"):
        TarSource([shard])
