import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from mae_core import UserError
from mae_core.data.decode import Unreadable
from mae_core.data.images import ImageDataset
from mae_core.data.sources import data_digest, open_source
from mae_core.data.zarr import read_zarr
from tests.bands import field, tiff
from tests.forms import write_folder

IMAGE = field(0)
PLANES = IMAGE.transpose(2, 0, 1)
TRAIN = {"input_size": 8, "is_training": True, "color_jitter": None}
VERSIONS = (2, 3)


def store(path: Path, pixels: NDArray[Any], version: int = 3, **options: Any) -> str:
    """A folder that is one array."""
    chunks = tuple(min(side, 8) for side in pixels.shape)
    array = zarr.create_array(
        path, shape=pixels.shape, dtype=pixels.dtype, chunks=chunks, zarr_format=version, **options
    )
    array[...] = pixels
    return str(path)


def ome(path: Path, pixels: NDArray[Any], axes: Any, version: int = 3) -> str:
    """An OME-Zarr of two resolutions."""
    group = zarr.create_group(path, zarr_format=version)
    for level, part in enumerate((pixels, pixels[..., ::2, ::2])):
        group.create_array(str(level), data=np.ascontiguousarray(part))
    about: dict[str, Any] = {"datasets": [{"path": "0"}, {"path": "1"}]}
    if axes:
        about["axes"] = axes
    own = {"multiscales": [about]}
    group.attrs.update({"ome": own} if version == 3 else own)
    return str(path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_an_array_is_what_was_stored(tmp_path: Path, version: int, dtype: str) -> None:
    image = IMAGE.astype(dtype)
    found = read_zarr(store(tmp_path / "a.zarr", image, version))
    assert np.array_equal(found, image) and found.dtype == dtype
    assert read_zarr(store(tmp_path / "b.zarr", image[..., 0], version)).shape == (16, 16)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_ome_zarr_is_its_highest_resolution(tmp_path: Path, version: int) -> None:
    named = [{"name": name, "type": "space"} for name in "czyx"]
    axes: tuple[Any, ...] = (named, ["c", "z", "y", "x"], None)
    pixels = PLANES.reshape(4, 3, 16, 16)
    for number, one in enumerate(axes):
        path = ome(tmp_path / f"{number}.zarr", pixels, one, version)
        assert np.array_equal(read_zarr(path), IMAGE)


def test_axes_with_names_are_put_in_order(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", PLANES, 3, dimension_names=["band", "y", "x"])
    assert np.array_equal(read_zarr(path), IMAGE)
    attributes = {"_ARRAY_DIMENSIONS": ["band", "y", "x"], "_FillValue": int(PLANES[0, 0, 0])}
    group = zarr.create_group(tmp_path / "x.zarr", zarr_format=2)  # as xarray writes it
    group.create_array("x", data=np.arange(16))
    group.create_array("reflectance", data=PLANES, attributes=attributes)
    found = read_zarr(str(tmp_path / "x.zarr"))
    missing = PLANES[0, 0, 0] == IMAGE
    assert np.array_equal(np.isnan(found), missing) and missing.any()
    assert np.array_equal(found[~missing], IMAGE[~missing])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_form_gives_the_same_batches_in_every_process(tmp_path: Path, version: int) -> None:
    images = [field(seed) for seed in range(6)]
    folder = str(
        write_folder(tmp_path / "tiff", {f"{i}.tif": tiff(x) for i, x in enumerate(images)})
    )
    for i, image in enumerate(images):
        store(tmp_path / "each" / f"{i}.zarr", image, version)
    group = zarr.create_group(tmp_path / "all.zarr", zarr_format=version)
    group.create_array("images", data=np.stack(images), chunks=(2, 8, 8, 12))
    places = [folder, str(tmp_path / "each"), str(tmp_path / "all.zarr")]
    batches = []
    for place in places:
        dataset = ImageDataset(place, TRAIN, bands=[7, 1, 3])
        dataset[0]  # opened here, too, before processes are forked
        again = pickle.loads(pickle.dumps(dataset))
        assert np.array_equal(again[1]["inputs"], dataset[1]["inputs"])
        loader = DataLoader(dataset, 6, num_workers=1, multiprocessing_context="fork")
        batches.append(next(iter(loader))["inputs"].numpy())
    assert all(np.array_equal(batch, batches[0]) for batch in batches)


@pytest.mark.parametrize("labels", [[2, 0, 1], ["b10", "b9", "a"]])
@pytest.mark.parametrize("version", VERSIONS)
def test_labels_are_those_of_an_npz(tmp_path: Path, version: int, labels: list[Any]) -> None:
    images = np.stack([field(seed)[..., :1] for seed in range(3)])
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    group = zarr.create_group(tmp_path / "x", zarr_format=version)
    group.create_array("images", data=images)
    texts = isinstance(labels[0], str)
    group.create_array("labels", data=np.array(labels, dtype="T" if texts else int))
    found, expected = open_source(str(tmp_path / "x")), open_source(str(tmp_path / "x.npz"))
    assert found.classes == expected.classes and len(found) == 3
    assert np.array_equal(found.labels, expected.labels)
    assert np.array_equal(found.read(2), expected.read(2)) and found.read(2).ndim == 2
    assert found.name(2) == f"{tmp_path}/x/2"


def test_a_folder_of_stores_has_classes_and_a_digest(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        store(tmp_path / "d" / name / "0.zarr", IMAGE)
    source = open_source(str(tmp_path / "d"))
    assert (source.classes, len(source)) == (["cat", "dog"], 2)
    before = data_digest(str(tmp_path / "d"))
    copied = shutil.copytree(tmp_path / "d", tmp_path / "copy")
    assert data_digest(str(copied)) == before
    (copied / "dog" / "0.zarr" / "c" / "0" / "0" / "0").write_bytes(b"x")
    other = shutil.copytree(copied, tmp_path / "other")
    assert data_digest(str(other)) != before


def test_a_table_names_stores_and_its_digest_covers_them(tmp_path: Path) -> None:
    store(tmp_path / "0.zarr", IMAGE)
    (tmp_path / "x.csv").write_text("path,label\n0.zarr,a\n")
    table = str(tmp_path / "x.csv")
    assert np.array_equal(open_source(table).read(0), IMAGE)
    before = data_digest(table)
    shutil.copytree(tmp_path, tmp_path.parent / "moved")
    store(tmp_path.parent / "moved" / "1.zarr", IMAGE)  # not in it
    assert data_digest(str(tmp_path.parent / "moved" / "x.csv")) == before
    (tmp_path.parent / "moved" / "0.zarr" / "zarr.json").write_text("{}")
    assert data_digest(str(tmp_path.parent / "moved" / "x.csv")) == before  # remembered
    other = shutil.copytree(tmp_path.parent / "moved", tmp_path.parent / "third")
    assert data_digest(str(other / "x.csv")) != before


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    for key, value in (("compressor", {"id": "pickle"}), ("filters", [{"id": "pickle"}])):
        path = Path(store(tmp_path / f"{key}.zarr", IMAGE, 2, compressors=None))
        about = json.loads((path / ".zarray").read_text())
        (path / ".zarray").write_text(json.dumps({**about, key: value}))
        with pytest.raises(Unreadable, match="pickle"):
            read_zarr(str(path))


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((3,), "uint8", r"expected \(H, W\) or \(H, W, bands\)"),
        ((2, 3, 4, 5), "uint8", "whose axes have no names"),
        ((4, 4), "complex64", "real numbers"),
        ((60000, 60000), "uint8", "cut it into tiles"),
    ],
)
def test_other_arrays_are_refused(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, message: str
) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=shape, dtype=dtype, chunks=shape)
    with pytest.raises(Unreadable, match=rf"a\.zarr .*{message}"):
        read_zarr(str(tmp_path / "a.zarr"))


def test_groups_of_several_images_and_damage_are_one_message(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr")
    for name in ("B02", "B03"):
        group.create_array(name, data=IMAGE)
    with pytest.raises(Unreadable, match=r"several images \(B0. \(16, 16, 12\), B0. "):
        read_zarr(str(tmp_path / "a.zarr"))
    with pytest.raises(UserError, match=r"a\.zarr has no array 'images'; it has B0., B0."):
        open_source(str(tmp_path / "a.zarr"))
    path = ome(tmp_path / "b.zarr", PLANES, ["c", "y", "x"])
    with pytest.raises(
        UserError, match=r"b\.zarr is one image \(OME-Zarr\): name the folder it li"
    ):
        open_source(path)
    for text in ("", "{}", "[1]", '{"zarr_format": 3, "node_type": "array"}'):
        broken = tmp_path / f"{len(text)}.zarr"
        broken.mkdir()
        (broken / "zarr.json").write_text(text)
        for read in (read_zarr, open_source):
            with pytest.raises(UserError, match=rf"^{broken} "):
                read(str(broken))
    whole = Path(store(tmp_path / "c.zarr", IMAGE))
    for chunk in (whole / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:20])
    with pytest.raises(Unreadable, match=r"c\.zarr cannot be read"):
        read_zarr(str(whole))


def test_without_its_package_the_message_says_what_to_install(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", IMAGE)
    code = (
        "import sys; sys.modules['zarr'] = None\n"
        f"from mae_core.data.zarr import read_zarr; read_zarr({path!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "UserError" in done.stderr and "pip install zarr" in done.stderr
