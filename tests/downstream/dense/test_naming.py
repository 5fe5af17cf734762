"""Which file is the mask of which image, in every layout that is known here."""

from pathlib import Path

import pytest

from downstream.dense.data import mask_splits
from downstream.dense.naming import LABEL_IDS, find_pairs
from mae_core import UserError
from tests.downstream.conftest import split_config


def files(root: Path, *names: str) -> Path:
    """Empty files: what is in them does not matter here."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def pairs(root: Path, images: str, masks: str) -> list[tuple[str, str]]:
    found = find_pairs(root / images, root / masks)
    return [(i.relative_to(root).as_posix(), m.relative_to(root).as_posix()) for i, m in found]


@pytest.mark.parametrize(
    ("images", "masks", "image", "mask"),
    [
        ("images", "masks", "images/{}.jpg", "masks/{}.png"),
        ("images", "masks", "images/{}.png", "masks/{}.tif"),
        ("images", "masks", "images/deep/{}.JPG", "masks/deep/{}.PNG"),
        ("images", "masks", "images/{}.jpg", f"masks/{{}}{LABEL_IDS}.png"),
        ("images", "masks/{name}_mask.png", "images/{}.png", "masks/{}_mask.png"),
        ("images", "masks/{name}_mask", "images/deep/{}.png", "masks/deep/{}_mask.tiff"),
        ("images", "masks/mask_{name}.gif", "images/deep/{}.png", "masks/deep/mask_{}.gif"),
        ("all", "all", "all/{}.jpg", "all/{}.png"),
        ("all", "all", "all/{}.tif", "all/{}.png"),
        ("all", "all", "all/{}.bmp", "all/{}.tif"),
        ("all", "all/{name}_mask.png", "all/{}.png", "all/{}_mask.png"),
        ("all", "all/{name}.mask.png", "all/{}.png", "all/{}.mask.png"),
        ("all/{name}_image", "all/{name}_mask", "all/{}_image.png", "all/{}_mask.png"),
        ("all/{name}_image", "all", "all/{}_image.png", "all/{}.png"),
        ("", "masks", "{}.jpg", "masks/{}.png"),
        ("all/{name}/image.png", "all/{name}/mask.png", "all/{}/image.png", "all/{}/mask.png"),
        (
            "left/val/{name}_leftImg8bit.png",
            "fine/val/{name}_gtFine_labelTrainIds.png",
            "left/val/bonn/{}_leftImg8bit.png",
            "fine/val/bonn/{}_gtFine_labelTrainIds.png",
        ),
    ],
)
def test_images_find_their_masks(
    images: str, masks: str, image: str, mask: str, tmp_path: Path
) -> None:
    names = [(image.format(name), mask.format(name)) for name in ("a", "b.1", "c")]
    files(tmp_path, *(name for pair in names for name in pair))
    assert pairs(tmp_path, images, masks) == names


@pytest.mark.parametrize("pattern", ["all/{name}_mask.png", "all"])
def test_an_image_in_a_folder_with_masks_that_has_none_is_named(
    pattern: str, tmp_path: Path
) -> None:
    end = pattern[len("all/{name}") :] or ".png"
    files(tmp_path, "all/a.jpg", f"all/a{end}", "all/b.jpg")
    with pytest.raises(UserError, match=rf"no mask at .*all/b{end} for b\.jpg"):
        pairs(tmp_path, "all", pattern)


def test_a_mask_is_no_image_even_without_one_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, "all/a.png", "all/a_mask.png", "all/b_mask.png", "masks/c.png")
    files(tmp_path, "images/a.jpg", "masks/a.png", f"masks/a{LABEL_IDS}.png")
    assert pairs(tmp_path, "all", "all/{name}_mask.png") == [("all/a.png", "all/a_mask.png")]
    assert "1 picture(s)" in caplog.text and "such as b_mask.png: left out" in caplog.text
    assert pairs(tmp_path, "images", "masks") == [("images/a.jpg", "masks/a.png")]
    assert "1 picture(s)" in caplog.text and "such as c.png: left out" in caplog.text


def test_two_masks_of_an_image_or_two_images_of_a_mask_are_refused(tmp_path: Path) -> None:
    files(tmp_path, "images/a.jpg", "masks/a.png", "masks/a.tif", "one/a.png", "both/a.jpg")
    with pytest.raises(UserError, match=r"images/a\.jpg has two masks, .*a\.png and .*a\.tif"):
        pairs(tmp_path, "images", "masks")
    assert pairs(tmp_path, "images", "masks/{name}.tif") == [("images/a.jpg", "masks/a.tif")]
    files(tmp_path, "both/a.bmp")
    with pytest.raises(UserError, match=r"a\.bmp and .*a\.jpg have the same mask"):
        pairs(tmp_path, "both", "one")


@pytest.mark.parametrize(
    ("images", "masks", "told"),
    [
        ("images", "jpegs", r"jpegs/a\.jpg is no mask for a\.jpg: \.jpg changes pixels"),
        ("images", "jpegs/{name}.jpg", r"\.jpg changes pixels.*as PNG or TIFF"),
        ("images", "masks/{stem}_mask.png", "no folder .*patterns know {name} alone"),
        ("images", "masks/{name}/{name}.png", "{name} twice"),
        ("images", "gone", "no folder .*gone"),
        ("gone/{name}.png", "masks", "no folder .*gone"),
        ("images/{name}.bmp", "masks", r"no images in .*images/{name}\.bmp"),
        ("images", "masks/{name}_mask", "masks/a_mask.png for a.jpg"),
    ],
)
def test_what_cannot_be_masks_is_told(images: str, masks: str, told: str, tmp_path: Path) -> None:
    files(tmp_path, "images/a.jpg", "jpegs/a.jpg", "masks/a.png")
    with pytest.raises(UserError, match=told):
        pairs(tmp_path, images, masks)


def test_links_are_followed_whoever_made_them(tmp_path: Path) -> None:
    files(tmp_path / "elsewhere", "photos/a.jpg", "photos/b.jpg", "labels/a.png", "b.png")
    root = tmp_path / "mine"
    (root / "masks").mkdir(parents=True)
    (root / "train").symlink_to(tmp_path / "elsewhere" / "photos")
    (root / "masks" / "a.png").symlink_to(tmp_path / "elsewhere" / "labels" / "a.png")
    (root / "masks" / "b.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    (root / "train_masks").symlink_to(root / "masks")
    fields = split_config(root, val_data=None)
    fields.val_data = fields.train_data
    found = mask_splits(fields)["train"].pairs
    assert [(image.name, mask.name) for image, mask in found] == [
        ("a.jpg", "a.png"),
        ("b.jpg", "b.png"),
    ]


def test_a_name_of_a_folder_decides_what_is_held_out(tmp_path: Path) -> None:
    names = [f"all/{number:02}/{kind}.png" for number in range(40) for kind in ("image", "mask")]
    fields = split_config(files(tmp_path, *names), val_data=None)
    fields.train_data = {"images": "all/{name}/image.png", "masks": "all/{name}/mask.png"}
    splits = mask_splits(fields)
    assert 2 < len(splits["val"].pairs) < 20
    assert len(splits["val"].pairs) + len(splits["train"].pairs) == 40
