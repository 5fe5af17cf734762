from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mae_core import UserError
from mae_core.data.overlap import tell_overlap, tell_overlaps
from mae_core.notices import say

AS_IS = {"input_size": 12, "crop_pct": 1.0}


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    say.cache_clear()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(3):
                path = tmp_path / split / name / f"{split}{number}.png"
                Image.new("L", (12, 12), number).save(path)
    (tmp_path / "link").symlink_to(tmp_path / "train")
    (tmp_path / "farm" / "a").mkdir(parents=True)
    (tmp_path / "farm" / "a" / "x.png").symlink_to(tmp_path / "train" / "a" / "train0.png")
    return tmp_path


def config(train: object, val: object, **more: object) -> dict:
    return {
        "train_data": {"data": str(train), "transform": AS_IS},
        "val_data": {"data": str(val), "transform": AS_IS, **more},
    }


@pytest.mark.parametrize(
    ("train", "val", "shared"),
    [
        ("train", "val", 0),
        ("train", "train", 6),
        ("train", "train/a", 3),
        ("train/a", "train", 3),
        ("train", "link", 6),
        ("train", "farm", 1),
        ("train", "train/../link/b", 3),
    ],
)
def test_what_train_and_val_share_is_said(
    images: Path, train: str, val: str, shared: int, caplog: pytest.LogCaptureFixture
) -> None:
    tell_overlaps(config(images / train, images / val))
    assert (f"{shared} of " in caplog.text) == bool(shared)


def test_pairs_of_every_stage_are_looked_at(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    fields = config(images / "train", images / "train")
    loaders = {
        f"{split}_dataloader": {"dataset": fields[f"{split}_data"]} for split in ("train", "val")
    }
    tell_overlaps(loaders)
    assert "6 of 6" in caplog.text
    caplog.clear()
    say.cache_clear()
    tell_overlaps({"datasets": [{"name": "x", **fields}]})
    assert "6 of 6" in caplog.text


def test_parts_that_meet_share_nothing(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    fields = config(images / "train", images / "train", part=(0.5, 1.0))
    fields["train_data"]["part"] = (0.0, 0.5)
    tell_overlaps(fields)
    assert not caplog.text


def test_names_inside_files_and_of_the_hub_are_compared(caplog: pytest.LogCaptureFixture) -> None:
    tell_overlap(["x.tar/a.png", "hf:me/x/0"], ["x.tar/a.png", "hf:me/x:train/0", "y"], "t", "v")
    assert "2 of 3 val images (v)" in caplog.text


def test_sets_of_other_bits_are_refused(tmp_path: Path) -> None:
    for split, top in (("train", 4095), ("val", 65535)):
        (tmp_path / split).mkdir()
        Image.fromarray(np.full((12, 12), top, dtype=np.uint16)).save(tmp_path / split / "x.png")
    fields = config(tmp_path / "train", tmp_path / "val")
    with pytest.raises(UserError, match=r"use 12 bits, those of .* 16: set bits=16 in both"):
        tell_overlaps(fields)
    for each in fields.values():
        each["bits"] = 16
    tell_overlaps(fields)


def test_groups_that_train_and_val_share_are_said(
    images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"{s}/a/{s}{i}.png,{s},p{i}" for s in ("train", "val") for i in range(3)]
    data = images / "labels.csv"
    data.write_text("\n".join(["path,split,group", *rows]))
    fields = config(data, data, split="val")
    fields["train_data"] |= {"split": "train", "part": (0.0, 0.7)}
    tell_overlaps(fields)
    assert "2 of 3 groups of the val images" in caplog.text and "val images (" in caplog.text
    assert "memory" not in caplog.text  # no image is shared
    caplog.clear()
    whole = config(data, data, part=(0.5, 1.0))
    whole["train_data"] |= {"part": (0.0, 0.5)}
    tell_overlaps(whole)
    assert "groups of the val images" not in caplog.text


def test_other_bands_in_train_and_val_are_refused(images: Path) -> None:
    fields = config(images / "train", images / "val", bands=[0, 1, 2])
    with pytest.raises(UserError, match=r"are read differently: give both the same bands, clip"):
        tell_overlaps(fields)
    fields["train_data"]["bands"] = [0, 1, 2]
    tell_overlaps(fields)


def test_groups_that_only_one_of_both_has_are_said(
    images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tell_overlaps(config(images / "train", images / "val", group=r"(.)"))
    assert "groups are known of the val images alone" in caplog.text
