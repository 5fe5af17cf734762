from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform

from mae_core import UserError
from mae_core.data.images import ImageDataset, balanced_subset

AS_IS = {"input_size": 12, "crop_pct": 1.0}


def photo() -> Image.Image:
    return Image.fromarray(np.full((12, 12, 3), (200, 100, 50), dtype=np.uint8))


def folder_of(folder: Path, image: Image.Image, name: str = "x.png") -> str:
    (folder / "class").mkdir(parents=True)
    image.save(folder / "class" / name)
    return str(folder)


def test_an_item_has_stored_pixels_and_the_label_of_its_folder(images: Path) -> None:
    dataset = ImageDataset(str(images / "val"), AS_IS)
    assert dataset.classes == ["class-0", "class-1"]
    assert [dataset[i]["label"] for i in range(12)] == [0] * 6 + [1] * 6
    stored = np.asarray(Image.open(images / "val" / "class-1" / "0.png"))
    assert dataset[6]["inputs"].dtype == torch.uint8
    assert np.array_equal(dataset[6]["inputs"], np.stack([stored] * 3))


def test_an_image_kept_in_memory_is_read_once_and_augmented_anew(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    folder = folder_of(tmp_path, Image.fromarray(pixels))
    dataset = ImageDataset(folder, {**AS_IS, "is_training": True}, in_memory=True)
    first = dataset[0]["inputs"]
    (tmp_path / "class" / "x.png").unlink()
    assert any(not torch.equal(dataset[0]["inputs"], first) for _ in range(9))
    dataset.transform = create_transform(**AS_IS, normalize=False)
    assert np.array_equal(dataset[0]["inputs"], pixels.transpose(2, 0, 1))


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    for name in ("10", "2", "1"):
        folder_of(tmp_path / name, photo())
        (tmp_path / name / "class" / "x.png").rename(tmp_path / name / "x.png")
    dataset = ImageDataset(str(tmp_path), AS_IS)
    assert dataset.classes == ["1", "2", "10"]
    assert [dataset[i]["label"] for i in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_every_kind_of_image_reads_as_rgb(tmp_path: Path, mode: str) -> None:
    name = "x.jpg" if mode == "CMYK" else "x.png"
    item = ImageDataset(folder_of(tmp_path, photo().convert(mode), name), AS_IS)[0]["inputs"]
    difference = item[:, 5, 5].float() - torch.tensor([200.0, 100.0, 50.0])
    assert item.shape == (3, 12, 12)
    assert difference.abs().max() < 30  # a palette is coarse


@pytest.mark.parametrize("mode", ["L", "LA", "1", "RGB"])
def test_every_kind_of_image_reads_as_grey(tmp_path: Path, mode: str) -> None:
    grey = Image.new("L", (12, 12), 255).convert(mode)
    item = ImageDataset(folder_of(tmp_path, grey), AS_IS, in_chans=1)[0]["inputs"]
    assert torch.equal(item, torch.full((1, 12, 12), 255, dtype=torch.uint8))


def test_sixteen_bits_are_refused_not_clipped(tmp_path: Path) -> None:
    deep = Image.fromarray(np.full((12, 12), 5000, dtype=np.uint16))
    with pytest.raises(UserError, match=r"x\.png has pixels of mode 'I;16'.*8 bits"):
        ImageDataset(folder_of(tmp_path, deep), AS_IS)[0]


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_unreadable_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    root = folder_of(tmp_path, Image.effect_noise((12, 12), 50))
    file = tmp_path / "class" / "x.png"
    file.write_bytes(file.read_bytes()[:80] if content is None else content)
    with pytest.raises(UserError, match=rf"{file} cannot be read as an image.*delete it"):
        ImageDataset(root, AS_IS)[0]


def test_a_folder_without_images_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "photo.webp").touch()
    with pytest.raises(UserError, match=f"{tmp_path} holds no .png"):
        ImageDataset(str(tmp_path), AS_IS)


def test_other_numbers_of_channels_are_refused(images: Path) -> None:
    with pytest.raises(UserError, match=r"in_chans=2: .*1 .*3"):
        ImageDataset(str(images / "val"), AS_IS, in_chans=2)


def test_a_subset_follows_its_seed(images: Path) -> None:
    def chosen(seed: int) -> list[tuple[str, int]]:
        return ImageDataset(str(images / "train"), AS_IS, per_class=3, seed=seed).samples

    assert chosen(0) == chosen(0)
    assert chosen(0) != chosen(1)


def test_too_few_images_for_a_subset_name_the_class(images: Path) -> None:
    with pytest.raises(UserError, match="class-0 has 8 images, per_class asks for 9"):
        ImageDataset(str(images / "train"), AS_IS, per_class=9)


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_a_subset_is_balanced_and_without_repeats(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    samples = [(str(i), label) for i, label in enumerate(labels)]
    count = data.draw(st.integers(1, min(sizes)))
    subset = balanced_subset(samples, count, seed)
    assert Counter(label for _, label in subset) == dict.fromkeys(range(len(sizes)), count)
    assert len(set(subset)) == len(subset)
    assert set(subset) <= set(samples)
