import subprocess
import sys
import time
from pathlib import Path

import pytest

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
    with path.open("a") as stream:
        stream.write(rest + "\n")
    FileReporter(path).note("after")
    assert [event["text"] for event in read_events(path)] == ["before", "after"]
