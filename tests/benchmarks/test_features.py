import sys

import pytest

from benchmarks import features

pytestmark = pytest.mark.slow


def test_extraction_is_timed_beside_the_bare_forward(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["features", "--images", "12", "--batch", "5", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    features.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if " | " in line]
    assert [row[0].strip("| ") for row in rows[1:]] == ["bare forward", "extraction"]
    assert rows[1][2] == "100% |" and float(rows[2][1]) > 0
