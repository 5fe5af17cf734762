import logging
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from mae_core.data.check import check
from mae_core.data.decode import Unreadable, open_image
from mae_core.data.images import ImageDataset
from mae_core.data.pack import pack
from mae_core.data.sources import open_source
from mae_core.data.stored import read_raster
from tests.bands import field, npy, tiff
from tests.dicoms import PATIENT, dataset, dicom, written
from tests.forms import write_folder

IMAGE = field(0)[..., 0]
SIGNED = IMAGE.astype(np.int16) - 2000


def example(name: str) -> bytes:
    """A file that comes with pydicom."""
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


def units(data: bytes) -> NDArray[Any]:
    return read_raster(data, "x").pixels[..., 0]


def shown(data: bytes, channels: int = 1) -> NDArray[Any]:
    return open_image(data, channels, "x").pixels()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_stored_numbers_come_without_loss(dtype: str) -> None:
    image = SIGNED.astype(dtype)
    assert np.array_equal(units(dicom(image)), image) and units(dicom(image)).dtype == dtype


def test_rescaled_numbers_are_in_the_modalitys_units() -> None:
    found = read_raster(dicom(IMAGE, RescaleSlope=0.5, RescaleIntercept=-1024), "x")
    assert found.kind == "DICOM float32"
    assert np.array_equal(found.pixels[..., 0], IMAGE * np.float32(0.5) - 1024)


def test_the_modalitys_table_counts() -> None:
    table = Dataset()
    table.LUTDescriptor = [4, 10, 16]
    table.LUTData = [7, 70, 700, 7000]
    table["LUTData"].VR = "US"
    pixels = np.array([[0, 10, 11], [12, 13, 99]], dtype=np.uint16)
    found = units(dicom(pixels, ModalityLUTSequence=Sequence([table])))
    assert found.tolist() == [[7, 7, 70], [700, 7000, 7000]]


def test_files_that_are_compressed_hold_the_same() -> None:
    scan = dataset(SIGNED)
    scan.compress(RLELossless)
    assert np.array_equal(units(written(scan)), SIGNED)


def test_real_files_of_every_compression_hold_the_same() -> None:
    plain, *others = [units(example(name)) for name in SMALL]
    assert all(np.array_equal(other, plain) for other in others) and plain.std() > 1
    assert units(example("JPEGLSNearLossless_08.dcm")).std() > 1
    with pytest.raises(Unreadable, match=r"does not support 'JPEG Extended'.*12-bit"):
        units(example("JPEG-lossy.dcm"))
    assert shown(example("SC_rgb_jpeg_gdcm.dcm"), 3).std() > 1


def test_frames_are_bands_as_a_tiffs_pages() -> None:
    frames = field(0).transpose(2, 0, 1)
    data = dicom(frames)
    assert np.array_equal(read_raster(data, "x").pixels, field(0))
    with pytest.raises(Unreadable, match=r"^x has 12 frames: .*bands='all'"):
        open_image(data, 3, "x")


def test_frames_that_are_rescaled_one_by_one_are_refused() -> None:
    rescale = Dataset()
    rescale.PixelValueTransformationSequence = [Dataset()]
    data = dicom(IMAGE, PerFrameFunctionalGroupsSequence=[rescale])
    with pytest.raises(Unreadable, match="x says of each frame how its numbers are rescaled"):
        read_raster(data, "x")


def test_padding_is_missing() -> None:
    padded = SIGNED.copy()
    padded[0, :3] = -9999
    data = dicom(padded, PixelPaddingValue=-9999, RescaleSlope=1, RescaleIntercept=-24)
    assert np.isnan(units(data)).sum() == 3
    assert np.array_equal(units(data)[1:], np.float32(padded[1:]) - 24)
    limits = dicom(padded, PixelPaddingValue=-9999, PixelPaddingRangeLimit=-9000)
    assert np.isnan(units(limits)).sum() == 3


def test_a_picture_is_shown_by_the_first_window() -> None:
    pixels = np.arange(0, 4096, dtype=np.uint16).reshape(64, 64)
    window = {"WindowCenter": [1000, 1], "WindowWidth": [500, 1], "BitsStored": 12, "HighBit": 11}
    found = shown(dicom(pixels, **window))[..., 0].ravel()
    x = np.arange(4096)
    expected = np.clip((x - 999.5) / 499 + 0.5, 0, 1) * 255  # PS3.3 C.11.2.1.2.1
    assert np.abs(found - expected).max() <= 0.5 + 1e-9
    inverted = shown(dicom(pixels, **window, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(255 - inverted[..., 0].ravel(), found)
    rescaled = {**window, "RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 1900}
    assert (
        np.abs(
            shown(dicom(pixels, **{**rescaled, "WindowWidth": 999}))[..., 0].ravel()
            - found.astype(int)
        ).max()
        <= 1
    )
    assert shown(dicom(pixels, **window), 3).shape == (64, 64, 3)


def test_numbers_without_a_window_are_refused_but_those_of_eight_bits() -> None:
    with pytest.raises(Unreadable, match=r"^x has no window .*bands='all', and clip=\(low, high\)"):
        shown(dicom(IMAGE))
    grey = IMAGE.astype(np.uint8)
    assert np.array_equal(shown(dicom(grey))[..., 0], grey)
    colours = field(0)[..., :3].astype(np.uint8)
    assert np.array_equal(shown(dicom(colours), 3), colours)


def test_a_file_that_begins_as_a_tiff_is_one_of_dicom() -> None:
    data = b"II*\0" + dicom(SIGNED)[4:]
    assert np.array_equal(units(data), SIGNED)


def test_every_kind_gives_the_same_batches(tmp_path: Path) -> None:
    images = [field(seed)[..., 0] for seed in range(4)]
    kinds = {"tif": partial(tiff, planarconfig=None), "npy": npy, "dcm": dicom}
    folders = [
        str(write_folder(tmp_path / kind, {f"{i}.{kind}": write(x) for i, x in enumerate(images)}))
        for kind, write in kinds.items()
    ]
    pack(folders[-1], tmp_path / "packed", as_stored=True, workers=0)
    crop = {"input_size": 8, "is_training": True, "color_jitter": None}
    batches = []
    for folder in (*folders, str(tmp_path / "packed")):
        dataset = ImageDataset(folder, crop, bands=[0])
        batches.append(np.stack([dataset[i]["inputs"] for i in range(4)]))
    assert all(np.array_equal(batch, batches[0]) for batch in batches)
    assert open_source(str(tmp_path / "packed")).name(0).endswith(".dcm")


def test_check_shows_what_is_there(tmp_path: Path) -> None:
    scans = {"0.dcm": dicom(IMAGE.astype(np.uint8)), "1.dcm": dicom(IMAGE)}
    data = str(write_folder(tmp_path, scans))
    found = check(data, workers=0)
    assert found.kinds == {"DICOM by its window": 1} and "has no window" in found.unreadable[0]


def test_no_message_says_who_was_scanned(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    data = dicom(IMAGE, WindowCenter=1, WindowWidth=0)
    for end in (*range(128, len(data), 17), len(data)):
        for read in (units, shown):
            try:
                read(data[:end])
            except Unreadable as error:
                assert PATIENT not in str(error) and str(error).startswith("x ")
    assert PATIENT not in caplog.text


SMALL = [f"MR_small{kind}.dcm" for kind in ("", "_RLE", "_jpeg_ls_lossless", "_jp2klossless")]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255), st.sampled_from(SMALL))
def test_any_damage_is_an_image_or_a_message(place: int, byte: int, name: str) -> None:
    data = bytearray(example(name))
    data[132 + place % (len(data) - 132)] = byte
    for read in (units, shown):
        try:
            read(bytes(data))
        except Unreadable as error:
            assert str(error).startswith("x ")


def test_more_pixels_than_are_read_take_no_memory() -> None:
    data = dicom(IMAGE, Rows=60000, Columns=60000)
    with pytest.raises(Unreadable, match=r"x has 60000×60000 pixels .*cut it into tiles"):
        read_raster(data, "x")


def test_without_its_packages_the_message_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(dicom(IMAGE))
    code = (
        "import sys; sys.modules['pydicom'] = None\n"
        "from mae_core.data.decode import open_file\n"
        f"open_file({str(tmp_path / 'x.dcm')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "UserError" in done.stderr and "pip install pydicom" in done.stderr
    assert "extra 'dicom'" in done.stderr
