import gzip
import hashlib
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import FashionMNIST

from mae_core.data.demo import garments
from mae_core.data.demo.garments import SHA256, Location, Split, Unavailable, locate
from mae_core.errors import UserError

LABELS = "t10k-labels-idx1-ubyte.gz"
ZALANDO_GZIP_TIME = {"train": 1504176606, "t10k": 1504176627}


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, no installed package and no network."""

    def offline(scratch: Path) -> Path:
        raise Unavailable("no network")

    monkeypatch.delenv("MAE_BENCH_DATA", raising=False)
    monkeypatch.setattr(garments, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(garments, "_download_debian", offline)
    monkeypatch.setattr(garments, "_download_torchvision", offline)
    return tmp_path / "cache"


def link(real: Location, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in SHA256:
        (folder / name).symlink_to((real.folder / name).resolve())
    return folder


def copier(real: Location) -> Callable[[Path], Path]:
    return lambda scratch: Path(shutil.copytree(real.folder, scratch / "raw"))


def test_load_gives_all_images_of_all_classes(splits: dict[str, Split]) -> None:
    for name, count in (("train", 60_000), ("t10k", 10_000)):
        images, labels = splits[name]
        assert images.shape == (count, 28, 28) and images.dtype == np.uint8
        assert (np.bincount(labels) == count // 10).all()


@pytest.mark.parametrize(("name", "md5"), FashionMNIST.resources)
def test_content_is_what_torchvision_expects(real: Location, name: str, md5: str) -> None:
    """Debian's archives get Zalando's MD5 once file name and time are back in the gzip header."""
    archive = (real.folder / name).read_bytes()
    if hashlib.md5(archive).hexdigest() != md5:
        time = struct.pack("<I", ZALANDO_GZIP_TIME[name.split("-")[0]])
        header = b"\x1f\x8b\x08\x08" + time + archive[8:10] + name[:-3].encode() + b"\0"
        archive = header + archive[10:]
    assert hashlib.md5(archive).hexdigest() == md5


def test_sources_are_asked_in_order(
    real: Location, nowhere: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(garments, "_download_torchvision", copier(real))
    assert locate(nowhere).source == "torchvision's download"
    shutil.rmtree(nowhere)
    monkeypatch.setattr(garments, "_download_debian", copier(real))
    assert locate(nowhere).source == "Debian's package dataset-fashion-mnist"
    shutil.rmtree(nowhere)
    system = link(real, tmp_path / "system")
    assert locate(nowhere) == Location(system, "Debian's installed package")
    cached = link(real, nowhere / "fashion-mnist")
    assert locate(nowhere) == Location(cached, "the cache")
    given = link(real, tmp_path / "given" / "fashion-mnist")
    monkeypatch.setenv("MAE_BENCH_DATA", str(given.parent))
    assert locate(nowhere) == Location(given, f"MAE_BENCH_DATA={given.parent}")
    monkeypatch.setenv("MAE_BENCH_DATA", str(given))
    assert locate(nowhere).folder == given


def test_download_lands_in_the_cache(
    real: Location, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garments, "_download_debian", copier(real))
    first = locate(nowhere)
    assert first.folder == nowhere / "fashion-mnist"
    assert sorted(p.name for p in first.folder.iterdir()) == sorted(SHA256)
    assert sorted(p.name for p in nowhere.iterdir()) == [".fashion-mnist.lock", "fashion-mnist"]
    assert locate(nowhere).source == "the cache"


def test_nothing_found_lists_every_source_and_every_way(nowhere: Path) -> None:
    with pytest.raises(UserError) as error:
        locate(nowhere)
    for part in (
        "the cache: no train-images-idx3-ubyte.gz",
        "Debian's installed package: no train",
        "Debian's package dataset-fashion-mnist: no network",
        "torchvision's download: no network",
        "set MAE_BENCH_DATA",
        "apt-get install dataset-fashion-mnist",
        str(nowhere / "fashion-mnist"),
    ):
        assert part in str(error.value)


def test_given_folder_is_not_passed_over(
    real: Location, nowhere: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    link(real, nowhere / "fashion-mnist")
    monkeypatch.setenv("MAE_BENCH_DATA", str(tmp_path / "typo"))
    with pytest.raises(UserError, match=r"typo: no train-images-idx3-ubyte\.gz"):
        locate(nowhere)


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def damage_flip_a_label(path: Path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))


def damage_replace(path: Path) -> None:
    path.write_text("<html>404</html>")


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip_a_label, damage_replace])
def test_damaged_file_is_named(
    damage: Callable[[Path], None],
    real: Location,
    nowhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = link(real, tmp_path / "given")
    (folder / LABELS).unlink()
    shutil.copy(real.folder / LABELS, folder)
    damage(folder / LABELS)
    monkeypatch.setenv("MAE_BENCH_DATA", str(folder))
    with pytest.raises(UserError, match=f"{folder / LABELS} is damaged"):
        locate(nowhere)


def test_damaged_cache_is_replaced(
    real: Location, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = link(real, nowhere / "fashion-mnist")
    (cached / LABELS).unlink()
    (cached / LABELS).write_text("half a download")
    monkeypatch.setattr(garments, "_download_debian", copier(real))
    assert locate(nowhere).source == "Debian's package dataset-fashion-mnist"
    assert locate(nowhere).source == "the cache"


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="builds a Debian package")
def test_debian_package_is_unpacked_without_touching_the_system(
    real: Location, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tree, bin_folder = tmp_path / "tree", tmp_path / "bin"
    shutil.copytree(real.folder, tree / "usr/share/datasets/fashion-mnist")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: dataset-fashion-mnist\nVersion: 1\nArchitecture: all\n"
        "Maintainer: Test <test@example.org>\nDescription: test\n"
    )
    build = ["dpkg-deb", "-Znone", "--build", str(tree), str(tmp_path / "package.deb")]
    subprocess.run(build, check=True, capture_output=True)
    bin_folder.mkdir()
    apt = bin_folder / "apt-get"
    apt.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
        f'case "$*" in *" download "*) cp {tmp_path}/package.deb . ;; *) exit 100 ;; esac\n'
    )
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    scratch = tmp_path / "scratch"
    assert garments.verify(garments._download_debian(scratch)).is_relative_to(scratch)
    update, download = (tmp_path / "calls").read_text().splitlines()
    assert update.endswith("update") and download.endswith("download dataset-fashion-mnist")
    for call in (update, download):
        assert f"-oDir::State::lists={scratch}/lists -oDir::Cache={scratch}/cache" in call


def test_missing_apt_get_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="apt-get is not installed"):
        garments._download_debian(tmp_path)


def test_failing_and_hanging_downloads_give_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(garments, "TORCHVISION_DOWNLOAD", "raise OSError('no route')")
    with pytest.raises(Unavailable, match="OSError: no route"):
        garments._download_torchvision(tmp_path)
    monkeypatch.setattr(garments, "TORCHVISION_DOWNLOAD", "import time; time.sleep(60)")
    monkeypatch.setattr(garments, "DOWNLOAD_SECONDS", 1)
    with pytest.raises(Unavailable, match="did not finish within 1 s"):
        garments._download_torchvision(tmp_path)
