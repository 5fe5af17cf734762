import pytest

from benchmarks.threads import WAYS
from tests.processes import printed

pytestmark = pytest.mark.slow


def test_a_way_is_measured_alone_and_beside_a_busy_process() -> None:
    way = list(WAYS)[1]
    options = ["--seconds", "0.2", "--rounds", "1", "--ways", way]
    output = printed("benchmarks.threads", *options)
    lines = [line for line in output.splitlines() if line.startswith("|")][2:]
    assert [line.split("|")[1].strip() for line in lines] == [way]
    for line in lines:
        alone, beside, kept = (float(cell) for cell in line.split("|")[2:5])
        assert alone > 0 and beside > 0 and kept > 0
