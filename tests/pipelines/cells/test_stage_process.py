import subprocess
import sys

import pytest

SCRIPT = """
import atexit, ctypes
from pipelines.cells.stage_process import leave
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)  # as a destructor in C++ may
atexit.register(print, "cleaned up")
{end}
"""


@pytest.mark.parametrize("end, code", [("leave()", 0), ("", -6)])
def test_a_finished_process_is_done_whatever_destructors_do(end: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(end=end)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert "cleaned up" in done.stdout or code
