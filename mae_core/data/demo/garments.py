"""Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747): 70,000 grey photos of garments, 28x28.

Sources, in this order: the folder in `MAE_BENCH_DATA`, the cache, Debian's installed package,
Debian's package unpacked into the cache without root, torchvision's download.
"""

import gzip
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mae_core.data.cache import atomic_folder, cache_root, locked
from mae_core.errors import UserError

log = logging.getLogger(__name__)

CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)
LICENCE = "MIT, Copyright 2017 Zalando SE"
ENV = "MAE_BENCH_DATA"
PACKAGE = "dataset-fashion-mnist"
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")

# Of the content: Debian compressed the files anew, so the archives differ from Zalando's.
SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte.gz": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}

CONNECT_SECONDS = 10
INDEX_SECONDS = 60
DOWNLOAD_SECONDS = 180
TORCHVISION_DOWNLOAD = f"""
import socket, sys
from torchvision.datasets import FashionMNIST
socket.setdefaulttimeout({CONNECT_SECONDS})
FashionMNIST(sys.argv[1], download=True)
"""


class Location(NamedTuple):
    """A folder with the four checked files, and the source's name."""

    folder: Path
    source: str


class Split(NamedTuple):
    """Images (N, 28, 28) uint8 and labels (N,) uint8 in 0..9, indices into `CLASSES`."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


class Unavailable(Exception):
    """One source does not have the images; the message says why."""


def locate(cache: Path | None = None) -> Location:
    """The first source whose four files have the known checksums; its name goes to the log.

    Args:
        cache: where downloads are kept; `cache_root()` by default.

    Raises:
        UserError: if `MAE_BENCH_DATA` is set and wrong, or if no source answers.
    """
    cache = cache or cache_root()
    sources = _sources(cache)
    given = os.environ.get(ENV)
    if given:
        sources = {f"{ENV}={given}": partial(_given_folder, Path(given).expanduser())}
    failures = []
    for source, find in sources.items():
        try:
            folder = find()
        except Unavailable as error:
            failures.append(f"{source}: {error}")
            log.debug("Fashion-MNIST: %s: %s", source, error)
        else:
            log.info("Fashion-MNIST from %s", source)
            return Location(folder, source)
    raise UserError(_help(failures, cache))


def load(location: Location) -> dict[str, Split]:
    """The splits `train` (60,000 images) and `t10k` (10,000) of a located folder."""

    def read(name: str, header: int) -> NDArray[np.uint8]:
        return np.frombuffer(_content(location.folder / name), np.uint8, offset=header)

    return {
        split: Split(
            read(f"{split}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28),
            read(f"{split}-labels-idx1-ubyte.gz", 8),
        )
        for split in ("train", "t10k")
    }


def verify(folder: Path) -> Path:
    """`folder`, whose four files are there and have the known checksums.

    Raises:
        Unavailable: names the first file that is missing or damaged.
    """
    for name, expected in SHA256.items():
        found = hashlib.sha256(_content(folder / name)).hexdigest()
        if found != expected:
            raise Unavailable(
                f"{folder / name} is damaged: the SHA-256 of its content is {found}, "
                f"expected {expected}"
            )
    return folder


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise Unavailable(f"no {path.name} in {path.parent}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise Unavailable(f"{path} is damaged or unreadable: {error}") from error


def _sources(cache: Path) -> dict[str, Callable[[], Path]]:
    target = cache / "fashion-mnist"
    return {
        "the cache": partial(verify, target),
        "Debian's installed package": partial(verify, SYSTEM_FOLDER),
        f"Debian's package {PACKAGE}": partial(_fetch, target, _download_debian),
        "torchvision's download": partial(_fetch, target, _download_torchvision),
    }


def _given_folder(folder: Path) -> Path:
    below = folder / "fashion-mnist"
    return verify(below if any((below / name).exists() for name in SHA256) else folder)


def _fetch(target: Path, download: Callable[[Path], Path]) -> Path:
    """Download into `target` unless another process has just done so."""
    with locked(target):
        try:
            return verify(target)
        except Unavailable:
            pass
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            found = verify(download(Path(scratch)))
            with atomic_folder(target) as folder:
                for name in SHA256:
                    shutil.move(found / name, folder / name)
    return target


def _download_debian(scratch: Path) -> Path:
    for folder in ("lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    options = {
        "Dir::State::lists": scratch / "lists",
        "Dir::Cache": scratch / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": 0,
        "Acquire::http::Timeout": CONNECT_SECONDS,
        "Acquire::https::Timeout": CONNECT_SECONDS,
    }
    apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]
    log.info("downloading Debian's package %s (31 MB, and the package lists)", PACKAGE)
    with suppress(Unavailable):  # one broken third-party source fails it, Debian's list is there
        _run([*apt, "update"], scratch, INDEX_SECONDS)
    _run([*apt, "download", PACKAGE], scratch, DOWNLOAD_SECONDS)
    (archive,) = scratch.glob("*.deb")
    _run(["dpkg", "-x", archive.name, "unpacked"], scratch, DOWNLOAD_SECONDS)
    return scratch / "unpacked" / SYSTEM_FOLDER.relative_to("/")


def _download_torchvision(scratch: Path) -> Path:
    log.info("downloading Fashion-MNIST with torchvision (31 MB)")
    _run([sys.executable, "-c", TORCHVISION_DOWNLOAD, str(scratch)], scratch, DOWNLOAD_SECONDS)
    return scratch / "FashionMNIST" / "raw"


def _run(command: Sequence[str], folder: Path, seconds: int) -> None:
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, cwd=folder, timeout=seconds, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise Unavailable(f"{name} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{name} did not finish within {seconds} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Unavailable(f"{name}: {lines[-1]}")


def _help(failures: Sequence[str], cache: Path) -> str:
    return "\n".join(
        [
            "Fashion-MNIST, the demo's images, was not found. Tried:",
            *(f"  - {failure}" for failure in failures),
            "Give it in one of these ways and run the same command again:",
            f"  - set {ENV} to a folder with {', '.join(SHA256)}",
            f"  - copy these four files to {cache / 'fashion-mnist'}",
            f"  - on Debian or Ubuntu: apt-get install {PACKAGE}",
            f"  - let this machine reach a Debian mirror or torchvision's server, without {ENV}",
        ]
    )
