import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.events import FileReporter, follow, read_events

WRITER = """
import sys, time
from pathlib import Path
from pipelines.events import FileReporter
reporter = FileReporter(Path(sys.argv[1]))
for step in range(300):
    reporter.log({sys.argv[2]: step}, step)
"""


def writer(path: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), name])


def test_what_is_reported_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_events(path) == []
    reporter = FileReporter(path)
    reporter.progress(1, 2, "step", loss=0.5)
    reporter.log({"loss": 0.5}, 10)
    reporter.note("something")
    found = read_events(path)
    times = [event.pop("time") for event in found]
    assert times == sorted(times) and abs(times[0] / 1000 - time.time()) < 3600
    assert found == [
        {"event": "progress", "done": 1, "total": 2, "unit": "step", "shown": {"loss": 0.5}},
        {"event": "log", "values": {"loss": 0.5}, "step": 10},
        {"event": "note", "text": "something"},
    ]


def test_following_sees_every_event_of_several_processes_in_order(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    FileReporter(path).note("of an earlier try")
    start = path.stat().st_size
    other, process = writer(path, "a"), writer(path, "b")
    other.wait()
    events = list(follow(path, start, process))
    for name in "ab":
        steps = [event["step"] for event in events if name in event["values"]]
        assert steps == list(range(300))


@pytest.mark.parametrize("rest", ['{"event": "lo', "\x00\x00"])
def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "events.jsonl"
    FileReporter(path).note("before")
    for end in ("\n", ""):
        with path.open("a") as stream:
            stream.write(rest + end)
        FileReporter(path).note(f"after {end!r}")
    assert [event["text"] for event in read_events(path)] == ["before", r"after '\n'", "after ''"]


@settings(max_examples=50)
@given(st.lists(st.integers(0, 200), max_size=4), st.binary(max_size=30))
def test_wherever_a_crash_cuts_the_next_event_is_read(cuts: list[int], rest: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        for step, cut in enumerate([*cuts, 0]):
            FileReporter(path).log({"loss": 0.5}, step)
            assert read_events(path)[-1]["step"] == step
            content = path.read_bytes()
            path.write_bytes(content[: len(content) - cut] + (rest if cut else b""))
