import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mae_core import UserError
from mae_core.data import demo
from mae_core.data.images import ImageDataset
from mae_core.data.sampler import DrawSampler
from mae_core.data.sources import Source, check_data, data_digest, open_source, opened_once
from mae_core.data.sources.base import NO_LABEL
from tests.forms import (
    Images,
    some_images,
    write_flat,
    write_folder,
    write_parquet,
    write_shards,
    write_tar,
    write_web_dataset,
)

CIFAR = Path(__file__).parents[5] / "shared" / "data" / "cifar10.tar.gz"
EACH = 20
FORMS = ("folder", "flat", "shards", "all.tar", "web", "rows", "all.parquet")


def sequence(source: Source) -> list[bytes]:
    return [bytes(source.read(i)) for i in range(len(source))]


def in_every_form(root: Path, images: Images) -> dict[str, Source]:
    classes = {name.split("/")[0]: 0 for name in images}
    write_folder(root / "folder", images)
    write_flat(root / "flat", images)
    write_shards(root / "shards", images)
    write_tar(root / "all.tar", images)
    write_web_dataset(root / "web", images, {name: name for name in classes})
    write_parquet(root / "rows", images)
    write_parquet(root / "row", images, count=1).joinpath("0.parquet").rename(root / "all.parquet")
    sources = {form: open_source(str(root / form)) for form in FORMS}
    return sources | {"hub": open_source(f"hf:{root}/rows")}


def check_equal(sources: dict[str, Source], images: Images) -> None:
    labels = sources["folder"].labels
    for form, source in sources.items():
        assert sequence(source) == list(images.values()), form
        if form == "flat":
            assert set(source.labels) == {NO_LABEL}
        else:
            assert source.classes == sources["folder"].classes, form
            assert np.array_equal(source.labels, labels), form


def check_batches(root: Path) -> None:
    """Pretraining's batches are the same in every form, labels apart."""
    crops = {"input_size": 32, "is_training": True, "scale": (0.2, 1.0), "color_jitter": None}
    batches = {}
    for form in FORMS:
        dataset = ImageDataset(str(root / form), crops)
        loader = DataLoader(dataset, 32, sampler=DrawSampler(dataset, seed=3))
        batches[form] = [(b["inputs"], b["seed"], b["flip"]) for b in loader]
    for form in FORMS[1:]:
        for expected, found in zip(batches["folder"], batches[form], strict=True):
            assert all(map(torch.equal, expected, found)), form


def test_all_forms_give_the_same_sequence(tmp_path: Path) -> None:
    images = some_images()
    check_equal(in_every_form(tmp_path, images), images)


@pytest.mark.skipif(not CIFAR.exists(), reason="needs CIFAR-10 in ../shared/data")
def test_all_forms_of_cifar10_give_the_same_sequence_and_batches(tmp_path: Path) -> None:
    images: dict[str, bytes] = {}
    with tarfile.open(CIFAR) as tar:
        for member in tar:
            name = member.name.removeprefix("cifar10/test/")
            label, _, number = name.partition("/")
            if name != member.name and number.endswith(".jpg") and int(number[:-4]) < EACH:
                file = tar.extractfile(member)
                assert file is not None
                images[f"{label}/{number}"] = file.read()
            if len(images) == 10 * EACH:
                break
    images = dict(sorted(images.items()))
    assert len(images) == 10 * EACH
    check_equal(in_every_form(tmp_path, images), images)
    check_batches(tmp_path)


def test_tables_are_joined_in_natural_order_of_their_files(tmp_path: Path) -> None:
    images = some_images()
    write_parquet(tmp_path / "rows", images, count=12)
    assert sequence(open_source(f"{tmp_path}/rows")) == list(images.values())


def test_an_npz_is_opened_by_its_suffix(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 3, 4), np.uint8))
    source = open_source(str(tmp_path / "x.npz"), part=(0, 0.5))
    assert np.array_equal(source.read(0), np.zeros((3, 4)))


def test_one_class_is_enough(tmp_path: Path) -> None:
    source = open_source(str(write_folder(tmp_path, {"a/x.jpg": b"", "a/y.jpg": b""})))
    assert (source.classes, source.labels.tolist()) == (["a"], [0, 0])


def test_demo_means_the_demos_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "prepare_demo", lambda: tmp_path)
    write_folder(tmp_path / "classification" / "val", {"a/x.jpg": b"1"})
    assert sequence(open_source("demo/classification/val")) == [b"1"]


def test_other_files_beside_shards_do_not_matter(tmp_path: Path) -> None:
    root = write_shards(tmp_path / "shards", some_images())
    for name in ("index.json", "readme.txt", ".hidden.tar"):
        (root / name).touch()
    (root / ".git").mkdir()
    assert len(open_source(str(root))) == 12


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.TAR.ZST"])
def test_compressed_tars_are_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, {name: b""})
    for data in (tmp_path / name, tmp_path):
        with pytest.raises(UserError, match=rf"{tmp_path}/{name} is compressed.* unpack it"):
            open_source(str(data))


@pytest.mark.parametrize("name", ["x.jpg", "x.zip", "x"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, {name: b""})
    with pytest.raises(UserError, match=rf"{name} is a file of unknown kind: expected .*\.npz"):
        open_source(f"{tmp_path}/{name}")


@pytest.mark.parametrize(
    "names",
    [
        ["0.tar", "class/x.jpg"],
        ["0.tar", "x.jpg"],
        ["0.tar", "1.parquet"],
        ["train-0.tar", "val-0.tar"],
        ["train-00000-of-00002.parquet", "validation-00000-of-00001.parquet"],
    ],
)
def test_mixed_folders_are_refused(tmp_path: Path, names: list[str]) -> None:
    write_folder(tmp_path, dict.fromkeys(names, b""))
    beside = f"{names[0]} beside {names[1].split('/')[0]}: name one file"
    with pytest.raises(UserError, match=f"{tmp_path} holds {beside}"):
        open_source(str(tmp_path))


def test_splits_are_told_by_whole_words(tmp_path: Path) -> None:
    images = some_images(each=1)
    for number, (name, content) in enumerate(images.items()):
        write_tar(tmp_path / f"trainval-{number}-latest.tar", {name: content})
    assert sequence(open_source(str(tmp_path))) == list(images.values())


@pytest.mark.parametrize("call", [open_source, check_data, data_digest])
def test_a_missing_path_names_what_is_there_instead(tmp_path: Path, call: object) -> None:
    write_folder(tmp_path / "images", {"train/x.jpg": b""})
    assert callable(call)
    with pytest.raises(UserError, match=rf"no data at .*tarin: {tmp_path}/images .* holds train"):
        call(f"{tmp_path}/images/tarin")


def test_within_a_block_of_checks_data_is_listed_once(tmp_path: Path) -> None:
    root = tmp_path / "images"
    write_folder(root, {"a/0.jpg": b"", "b/0.jpg": b""})
    with opened_once():
        open_source(str(root))
        write_folder(root, {"b/1.jpg": b""})
        assert len(open_source(str(root))) == 2
        assert len(open_source(str(root), part=(0.0, 0.5))) == 1
    assert len(open_source(str(root))) == 3


def test_the_hub_is_not_asked_by_a_check() -> None:
    check_data("hf:nobody/nothing")


def test_digests_of_all_kinds_follow_the_content(tmp_path: Path) -> None:
    images = some_images()
    write_folder(tmp_path / "folder", images)
    write_tar(tmp_path / "x.tar", images)
    write_parquet(tmp_path / "rows", images)
    every = [f"{tmp_path}/folder", f"{tmp_path}/x.tar", f"{tmp_path}/rows", f"hf:{tmp_path}/rows"]
    digests = [data_digest(data) for data in every]
    assert [data_digest(data) for data in every] == digests
    assert len(set(digests)) == 4
