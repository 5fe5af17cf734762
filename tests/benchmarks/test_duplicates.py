import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import duplicates
from tests.mae_core.data.test_likeness import smooth


def test_recall_and_wrong_pairs_are_told_of_each_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "x.npz", images=smooth(12))
    arguments = ["duplicates", f"x={tmp_path / 'x.npz'}", "--images", "12", "--search", "50"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(duplicates, "hashes", lambda: {"bright": bright})
    duplicates.main()
    out = capsys.readouterr().out
    rows = dict(line.strip("| ").split(" | ") for line in out.splitlines() if " | " in line)
    for kind in duplicates.KINDS:
        assert rows[kind] == "1.000", kind
    assert 0.9 < float(rows["threshold for 0.99 on the first half"]) <= 1
    assert float(rows["ours"]) == 0 and float(rows["bright"]) >= 0
    assert "50 thumbnails with each other and mirrored" in out


def bright(pixels: np.ndarray) -> np.ndarray:
    """A poor hash: which of four quarters is brighter than the whole."""
    height, width = (side // 2 for side in pixels.shape[:2])
    quarters = [pixels[:height, :width], pixels[:height, width:], pixels[height:, :width]]
    return np.array([quarter.mean() > pixels.mean() for quarter in quarters])
