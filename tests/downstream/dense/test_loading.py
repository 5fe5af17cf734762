import json
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from mmengine.registry import init_default_scope
from PIL import Image

from downstream.dense.data import Masks, image_sizes
from downstream.dense.faults import check_annotations
from downstream.dense.mask_file import read_mask
from downstream.dense.mask_folder import check_mask_folder
from downstream.detection.pipeline import evaluation_pipeline
from downstream.drawing import read_image
from mae_core.data.decode import ORIENTATION, Unreadable, upright

STORED = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def rotated(path: Path, orientation: int, pixels: np.ndarray = STORED) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def loaded(path: Path) -> dict:
    init_default_scope("mmdet")
    step = evaluation_pipeline(8)[0]
    return Compose([TRANSFORMS.build(step)])({"img_path": str(path)})


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_training_drawing_and_checks_see_the_same_upright_image(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    path = rotated(tmp_path / f"x.{suffix}", orientation)
    expected = upright(STORED, orientation)
    found = loaded(path)
    assert np.array_equal(found["img"][..., ::-1], expected)
    assert found["img_shape"] == found["ori_shape"] == expected.shape[:2]
    assert np.array_equal(read_image(path), expected)
    assert image_sizes(Masks(((path, path),))) == [expected.shape[:2]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_those_of_the_upright_image(tmp_path: Path, orientation: int) -> None:
    rotated(tmp_path / "x.png", orientation)
    height, width = upright(STORED, orientation).shape[:2]
    box, corners = [0, 0, width, height], [0, 0, width, 0, width, height]
    content = {
        "images": [{"id": 1, "file_name": "x.png", "height": height, "width": width}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "segmentation": [corners]}
        ],
        "categories": [{"id": 1, "name": "a"}],
    }
    file = tmp_path / "x.json"
    file.write_text(json.dumps(content))
    assert check_annotations(file, tmp_path).faults == []
    content["images"][0] |= {"height": width, "width": height}
    file.write_text(json.dumps(content))
    faults = check_annotations(file, tmp_path).faults
    assert any("turned by its EXIF data" in fault for fault in faults)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_go_with_upright_images(tmp_path: Path, orientation: int) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    rotated(tmp_path / "images" / "x.png", orientation)
    mask = rotated(tmp_path / "masks" / "x.png", orientation, STORED[..., 0])
    assert np.array_equal(read_mask(mask), upright(STORED[..., :1], orientation)[..., 0])
    assert check_mask_folder(tmp_path / "images", tmp_path / "masks").faults == []


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"text")
    with pytest.raises(Unreadable, match=r"x\.png cannot be read as an image"):
        loaded(tmp_path / "x.png")
