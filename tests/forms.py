"""The same images as class folders, flat folder, tar shards and parquet.

Images are `{"class/name.jpg": content}`, in the natural order of their names.
"""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Images = Mapping[str, bytes]


def some_images(classes: int = 3, each: int = 4) -> dict[str, bytes]:
    """Small JPEGs of noise; names sort naturally, not as text."""
    rng = np.random.default_rng(0)
    names = [f"c{8 + label}/{i * 3}.jpg" for label in range(classes) for i in range(each)]
    return {name: _jpeg(rng) for name in names}


def write_folder(root: Path, images: Images) -> Path:
    for name, content in images.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_flat(root: Path, images: Images) -> Path:
    return write_folder(root, {name.replace("/", "_"): image for name, image in images.items()})


def write_tar(file: Path, members: Images) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def write_shards(root: Path, images: Images, count: int = 3) -> Path:
    """Tar files that hold the images in turn."""
    for shard in range(count):
        write_tar(root / f"{shard}.tar", dict(list(images.items())[shard::count]))
    return root


def write_web_dataset(root: Path, images: Images, labels: Mapping[str, object]) -> Path:
    """One shard with `<class>_<name>.jpg` and `.cls`; `labels` by class."""
    members: dict[str, bytes] = {}
    for name, content in images.items():
        key = name.replace("/", "_").removesuffix(".jpg")
        members[f"{key}.cls"] = str(labels[name.split("/")[0]]).encode()
        members[f"{key}.jpg"] = content
    write_tar(root / "0.tar", members)
    return root


def write_parquet(root: Path, images: Images, count: int = 2) -> Path:
    """Parquet files that hold the images one after the other; `label` is the class's name."""
    root.mkdir(parents=True)
    names = np.array_split(list(images), count)
    for number, part in enumerate(names):
        rows = {
            "image": [{"bytes": images[name], "path": None} for name in part.tolist()],
            "label": [name.split("/")[0] for name in part.tolist()],
        }
        pq.write_table(pa.table(rows), root / f"{number}.parquet", row_group_size=2)
    return root


def _jpeg(rng: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()
