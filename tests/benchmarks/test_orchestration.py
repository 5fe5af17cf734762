import sys
from pathlib import Path

import pytest

from benchmarks import orchestration
from tests.tiny import write_configs, write_images, write_recipe


def test_the_time_around_stages_is_what_their_processes_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = write_configs(tmp_path / "configs", write_images(tmp_path / "data"))
    recipe = write_recipe(configs, ("knn",), ("random",))
    arguments = ["orchestration", "--recipe", str(recipe), "--tasks", "knn"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    orchestration.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 1,")]
    computed, reused = ([float(cell) for cell in line.split("|")[2:5]] for line in lines)
    for seconds, processes, around in (computed, reused):
        assert around == pytest.approx(seconds - processes, abs=0.11)
    assert computed[1] > 0 and reused[1] == 0
