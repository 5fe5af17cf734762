from pathlib import Path

import pytest

from tests.processes import printed
from tests.tiny import write_configs, write_images

pytestmark = pytest.mark.slow


def test_the_time_is_split_into_that_of_stages_and_of_benchmarks(tmp_path: Path) -> None:
    configs = write_configs(tmp_path / "configs", write_images(tmp_path / "data"))
    options = ["--stages", "1", "2", "--knn", str(configs / "knn.py")]
    output = printed("benchmarks.orchestration", *options)
    kinds = ("| computed", "| reused")
    lines = [line for line in output.splitlines() if line.startswith(kinds)]
    assert len(lines) == 2
    for line in lines:
        one, two, stage, benchmark = (float(cell) for cell in line.split("|")[2:6])
        assert one > 0 and two > 0
        assert stage + benchmark == pytest.approx(one, abs=0.11)
        assert 2 * stage + benchmark == pytest.approx(two, abs=0.11)
