import sys

import pytest

from benchmarks import masked_conv

pytestmark = pytest.mark.slow


def test_masked_steps_are_timed_beside_timms(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", "test_convnext2", "--size", "64", "--batch", "2", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["masked_conv", *arguments])
    masked_conv.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if " | " in line]
    assert [row[0].strip("| ") for row in rows[1:]] == ["timm's own", "masked"]
    assert rows[1][2] == "1.00 |" and float(rows[2][1]) > 0
