from pathlib import Path

import pytest

from mae_core import UserError, pretrain
from mae_core.config import load_config
from mae_core.stage import StageResult
from tests.line import Notes
from tests.tiny import write_configs, write_images


@pytest.fixture
def broken(tmp_path: Path) -> list[Path]:
    """Two of forty images: one is text, one has lost its end."""
    write_images(tmp_path / "data", train=20)
    text, short = sorted((tmp_path / "data" / "train").rglob("*.png"))[5:25:12]
    text.write_text("no image")
    short.write_bytes(short.read_bytes()[:60])
    return [text, short]


def train(folder: Path, notes: Notes, *overrides: str) -> StageResult:
    configs = write_configs(folder / "configs", folder / "data")
    config = load_config(str(configs / "pretrain.py"), overrides=overrides)
    return pretrain.run(config, "random", folder / "work", notes)


def test_broken_images_are_skipped_and_each_is_listed_once(
    tmp_path: Path, broken: list[Path]
) -> None:
    notes = Notes()
    result = train(tmp_path, notes, "max_unreadable=0.1")
    assert result.files_exist()
    listed = (tmp_path / "work" / "unreadable.txt").read_text().splitlines()
    assert sorted(listed) == sorted(map(str, broken))
    assert (
        len([note for note in notes.notes if note.endswith("cannot be read and is skipped")]) == 2
    )
    assert notes.notes[-1].startswith("2 images could not be read and were replaced by others")


def test_too_many_broken_images_stop_the_training(tmp_path: Path, broken: list[Path]) -> None:
    with pytest.raises(
        UserError, match=r"cannot be read, more than a share of 0\.01.*unreadable\.txt"
    ):
        train(tmp_path, Notes())
