from pathlib import Path

import pytest
from PIL import Image

from mae_core.plots import drawn, lighten, new_figure, save_figure
from mae_core.stage import SilentReporter

HOSTILE = ["a$_$b", "$x^$", "$", "$$", r"\frac", "_a", "ä\n<b>", r"$\undefined$"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_and_no_formula(tmp_path: Path, name: str) -> None:
    figure = new_figure(3, 2)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], label=name)
    axis.set(title=name, xlabel=name)
    axis.set_yticks([0.5], [name])
    figure.legend()
    save_figure(figure, tmp_path / "a.png", dpi=50)
    assert Image.open(tmp_path / "a.png").size == (150, 100)


def test_the_format_is_that_of_the_name(tmp_path: Path) -> None:
    for name, begins in (("a.pdf", b"%PDF"), ("a.jpg", b"\xff\xd8"), ("a", b"\x89PNG")):
        save_figure(new_figure(1, 1), tmp_path / name, dpi=50)
        assert (tmp_path / name).read_bytes().startswith(begins)
    with pytest.raises(ValueError):
        save_figure(new_figure(1, 1), tmp_path / "a.xyz", dpi=50)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_picture_that_fails_is_a_note_and_no_artifact(tmp_path: Path) -> None:
    class Notes(SilentReporter):
        def note(self, text: str) -> None:
            said.append(text)

    def fail(path: Path) -> None:
        raise RuntimeError("no ink")

    said: list[str] = []
    good = drawn(tmp_path / "good.png", lambda path: path.write_text("x"), Notes())
    assert good == {"good": str(tmp_path / "good.png")}
    assert drawn(tmp_path / "bad.png", fail, Notes()) == {}
    assert said == ["bad.png could not be drawn (RuntimeError: no ink)"]


def test_a_light_frame_has_two_sides_and_lines_where_asked() -> None:
    for grid in (True, False):
        axis = new_figure(1, 1).subplots()
        lighten(axis, grid)
        shown = [side for side, spine in axis.spines.items() if spine.get_visible()]
        assert sorted(shown) == ["bottom", "left"]
        assert any(line.get_visible() for line in axis.get_ygridlines()) == grid
