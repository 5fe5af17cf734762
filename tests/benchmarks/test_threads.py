import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.threads import WAYS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_a_way_is_measured_alone_and_beside_a_busy_process() -> None:
    way = list(WAYS)[1]
    options = ["--seconds", "0.2", "--rounds", "1", "--ways", way]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.threads", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")][2:]
    assert [line.split("|")[1].strip() for line in lines] == [way]
    for line in lines:
        alone, beside, kept = (float(cell) for cell in line.split("|")[2:5])
        assert alone > 0 and beside > 0 and kept > 0
