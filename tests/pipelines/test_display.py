import io
import re
import sys
import threading

import pytest

from pipelines import display
from pipelines.display import Display, duration, size

ROW = "knn[/data/[x]/encoder.safetensors]"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def in_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """For a test's body: pytest sets `sys.stderr` anew after fixtures."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def text_of(terminal: Terminal) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())


def test_a_terminal_shows_names_with_brackets_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = in_terminal(monkeypatch)
    with Display() as shown:
        shown.say(f"{ROW}: starts")
        shown.update(ROW, 3, 7, "step", {})
        shown.update("detect[mae]", 1, 2, "step", {"loss": 0.25, "images_per_s": 1234.5})
        shown.finish(ROW, "failed: [/bold] is no tag")
    text = text_of(terminal)
    assert f"{ROW}: starts\n" in text
    assert f"{ROW}: failed: [/bold] is no tag\n" in text
    assert re.search(r"detect\[mae\].* 1/2 step loss 0.25, images/s 1234", text)


def test_a_finished_stage_has_no_bar_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = in_terminal(monkeypatch)
    with Display() as shown:
        shown.update("knn[mae]", 1, 2, "step", {})
        shown.finish("knn[mae]", "done")
        before = len(terminal.getvalue())
    assert "1/2" not in terminal.getvalue()[before:]


def test_a_log_gets_plain_lines_and_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as shown:
        shown.say(f"{ROW}: starts")
        shown.finish(ROW, "done")
    captured = capsys.readouterr()
    assert captured.out == f"{ROW}: starts\n{ROW}: done\n"
    assert captured.err == ""


def test_a_log_gets_a_line_for_each_interval_not_for_each_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Display()
    for step in range(1, 50):
        shown.update("knn[mae]", step, 200, "step", {"loss": 0.5})
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(display, "LINE_EVERY", 0.0)
    shown.update("knn[mae]", 50, 200, "step", {"loss": 0.5})
    line = capsys.readouterr().out
    assert re.fullmatch(r"knn\[mae\]:  25% \(50/200 steps\) loss 0.5, \d+:\d\d left\n", line)


def test_an_evaluation_after_the_training_is_measured_from_its_own_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Display()
    clock = iter([0.0, 100.0, 130.0])
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))
    shown.update("knn[mae]", 1, 2, "step", {})
    shown.update("knn[mae]", 1, 4, "evaluation step", {})
    shown.update("knn[mae]", 2, 4, "evaluation step", {})
    line = "knn[mae]:  50% (2/4 evaluation steps), 1:00 left"
    assert capsys.readouterr().out == f"{line}\n"


def test_what_is_counted_anew_is_measured_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The images of val after those of train: nothing is said of how long the first none took."""
    clock = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    with Display() as shown:
        for seconds, done in ((0, 0), (90, 3), (100, 4), (160, 0), (220, 2)):
            clock[0] = seconds
            shown.update("knn[mae]", done, 4, "image", {})
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "knn[mae]:  75% (3/4 images), 0:30 left",
        "knn[mae]:  50% (2/4 images), 1:00 left",
    ]


def test_a_bar_starts_again_with_another_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = in_terminal(monkeypatch)
    with Display() as shown:
        shown.update("knn[mae]", 7, 8, "step", {})
        shown.update("knn[mae]", 1, 3, "evaluation step", {})
    assert re.search(r"knn\[mae\].* 1/3 evaluation step", text_of(terminal))


def test_stages_of_several_threads_do_not_lose_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = in_terminal(monkeypatch)

    def work(name: str) -> None:
        for done in range(20):
            shown.update(name, done, 20, "step", {})
        shown.finish(name, "done")

    with Display() as shown:
        threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    text = text_of(terminal)
    assert all(f"t{i}: done\n" in text for i in range(8))


@pytest.mark.parametrize(
    ("hours", "text"), [(0, "0 s"), (8 / 3600, "8 s"), (0.2, "12 min"), (3.21, "3.2 h")]
)
def test_durations_are_readable(hours: float, text: str) -> None:
    assert duration(hours) == text


def test_sizes_are_readable() -> None:
    assert [size(20 << 20), size(3 << 29)] == ["20 MiB", "1.5 GiB"]
