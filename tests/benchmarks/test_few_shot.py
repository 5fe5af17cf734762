import sys

import pytest

from benchmarks import few_shot

pytestmark = pytest.mark.slow


def test_every_head_is_timed_beside_scikit_learns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(few_shot, "SINGLE", 2)
    arguments = ["few_shot", "--width", "24", "--episodes", "40", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    few_shot.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "-shot |" in line]
    assert [row[1] for row in rows] == ["centroid", "logistic", "ridge"] * 3
    assert all(0.2 < float(row[2]) <= 1 for row in rows)
