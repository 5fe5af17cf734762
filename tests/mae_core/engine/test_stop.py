import os
import signal
import subprocess
import sys

import pytest

from tests.processes import gone, wait_for

pytestmark = pytest.mark.slow

LOADER = """
import time
from functools import partial

from torch.utils.data import DataLoader

from mae_core.engine.stop import worker_ignoring_signals

deaf = partial(worker_ignoring_signals, num_workers=1, rank=0, seed=0)
batches = iter(DataLoader(range(1000), num_workers=1, worker_init_fn=deaf))
next(batches)
print(batches._workers[0].pid, flush=True)
input()
next(batches)
"""


def test_a_loaders_process_hears_nobody_but_its_parent():
    """A training that was told to stop has its batches; one that ends takes its loader along."""
    training = subprocess.Popen(
        [sys.executable, "-c", LOADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert training.stdout and training.stdin
    worker = int(training.stdout.readline())
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(worker, number)
    training.communicate("go on\n", timeout=60)  # its iterator lives to the end, as a cycle may
    assert training.returncode == 0
    wait_for(lambda: gone(worker))
