"""What every maker holds: equal files for equal arguments, which the shipped configs read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config

from downstream.examples.write import EXAMPLES, write_example
from mae_core import UserError
from mae_core.config import load_config
from mae_core.data.images import ImageDataset
from tests.tiny import CONFIGS

NUMBERS = {"bands": 12, "microscopy": 8, "rgbd": 10, "scenes": 20, "sounds": 12}  # images of a test


@pytest.fixture(scope="module")
def made(photos: Path, nuclei: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name in EXAMPLES:
        write_example(name, folder / name, needed(name, photos, nuclei), NUMBERS[name])
    return folder


def needed(name: str, photos: Path, nuclei: Path) -> str | None:
    return {"bands": str(photos), "microscopy": str(nuclei)}.get(name)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.parametrize("name", EXAMPLES)
def test_equal_arguments_give_equal_files_and_another_seed_others(
    name: str, made: Path, photos: Path, nuclei: Path, tmp_path: Path
) -> None:
    first = files(made / name)
    assert len(first) == NUMBERS[name] + len(EXAMPLES[name].columns[:1])
    for seed in (0, 1):
        given = needed(name, photos, nuclei)
        write_example(name, tmp_path / str(seed), given, NUMBERS[name], seed)
    assert files(tmp_path / "0") == first
    assert set(files(tmp_path / "1").values()).isdisjoint(first.values())


def image_sets(node: Any) -> list[dict[str, Any]]:
    """Every data set that a config names."""
    if not isinstance(node, dict):
        return []
    if str(node.get("data", "")).startswith("data/"):
        return [node]
    return [found for value in node.values() for found in image_sets(value)]


SHIPPED = sorted(
    path.relative_to(CONFIGS).with_suffix("").as_posix()
    for name in EXAMPLES
    for path in CONFIGS.glob(f"*/*_{name}*.py")
)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_read_what_is_made(name: str, made: Path) -> None:
    config: Config = load_config(name)
    sets = image_sets(config.to_dict())
    assert len(sets) == 2 and {min(given["part"]) for given in sets} > {0.0}
    for given in sets:
        keys = {key: value for key, value in given.items() if key not in ("per_class", "type")}
        images = ImageDataset(**{**keys, "data": str(made / keys["data"].removeprefix("data/"))})
        side, channels = config.encoder.img_size, config.encoder.in_chans
        item = images[0]["inputs"]
        kind = "float32" if keys.get("bands") else "uint8"
        assert item.shape == (channels, side, side) and str(item.dtype) == f"torch.{kind}"
        assert np.isfinite(item.numpy()).all()
        assert len(images.classes) >= 2 or images.targets


def test_every_example_has_configs_and_a_recipe() -> None:
    assert len(SHIPPED) == 20
    for name in [*EXAMPLES, "scenes_area"]:
        recipe = load_config(name, "benchmarks")
        assert recipe.pretrain in SHIPPED and set(recipe.tasks.values()) <= set(SHIPPED)


@pytest.mark.parametrize(
    ("name", "photos_given", "images", "said"),
    [
        ("band", None, 1, "expected one of bands, microscopy, rgbd, scenes, sounds"),
        ("bands", None, 1, "name photos in colour"),
        ("sounds", "photos", 1, "is synthesised"),
        ("bands", "nowhere", 1, "nowhere"),
        ("bands", "{photos}", 21, "21 images are wanted, but there are 20 photos"),
        ("microscopy", "{nuclei}", 13, "there are 12 tiles"),
        ("microscopy", "nowhere.json", 1, "nowhere"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(
    name: str,
    photos_given: str | None,
    images: int,
    said: str,
    photos: Path,
    nuclei: Path,
    tmp_path: Path,
) -> None:
    given = photos_given and photos_given.format(photos=photos, nuclei=nuclei)
    with pytest.raises(UserError, match=said):
        write_example(name, tmp_path / "made", given, images)
    assert not (tmp_path / "made").exists()


def test_a_folder_that_holds_something_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(UserError, match="is there already"):
        write_example("sounds", tmp_path / "mine", images=1)
    assert files(tmp_path / "mine") == {"thesis.txt": b"all of it"}
