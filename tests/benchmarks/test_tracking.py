import sys

import pytest

from benchmarks import tracking

pytestmark = pytest.mark.slow


def test_steps_are_timed_bare_tracked_and_without_a_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--steps", "30", "--seconds", "0.02", "--outage", "1", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["tracking", *arguments])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "")
    tracking.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["bare", "tracked", "server killed"]
    assert rows[0][2] == "1.000×"
    assert all(0 < float(row[1].rstrip("%")) < 100 for row in rows[1:])
