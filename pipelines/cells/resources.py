"""What a stage may use of a machine: threads, devices, other machines."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

GPUS = "CUDA_VISIBLE_DEVICES"
# How often a stage's threads look for each other before they sleep. The default, 300,000 looks (GNU
# libgomp's manual), takes the core that the thread they wait for needs, if others work beside
# (benchmarks/threads.py).
SPIN, LOOKS = "GOMP_SPINCOUNT", "1000"
RESTARTS = 3  # of several processes after one was lost


@dataclass(frozen=True)
class Resources:
    """What a stage may use.

    Attributes:
        threads: that each process computes with; they decide the result's last digits.
        devices: processes on this machine, each with a GPU of its own where there are any.
        nodes: machines.
        rendezvous: `host:port` of the first of several machines.
        gpus: those that the stage sees, as in `CUDA_VISIBLE_DEVICES`; None for what is set there.
    """

    threads: int = 1
    devices: int = 1
    nodes: int = 1
    rendezvous: str = ""
    gpus: tuple[str, ...] | None = None

    def command(self, job: Path) -> list[str]:
        """What starts the stage on this machine: torchrun where there are several processes."""
        python, stage = [sys.executable, "-m"], ["pipelines.cells.stage_process", str(job)]
        if self.devices * self.nodes == 1:
            return [*python, *stage]
        meeting = ["--standalone"]
        if self.nodes > 1:
            meeting = [f"--nnodes={self.nodes}", "--rdzv-backend=c10d"]
            meeting += [f"--rdzv-endpoint={self.rendezvous}", f"--rdzv-id={job.parent.name}"]
        torchrun = ["torch.distributed.run", *meeting, f"--nproc-per-node={self.devices}"]
        return [*python, *torchrun, f"--max-restarts={RESTARTS}", "-m", *stage]

    def environment(self) -> dict[str, str]:
        """Variables of the stage's processes."""
        threads = str(self.threads)
        gpus = {} if self.gpus is None else {GPUS: ",".join(self.gpus)}
        return {
            **os.environ,
            **gpus,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "MKL_DYNAMIC": "FALSE",  # it would take no more than there are cores
            SPIN: os.environ.get(SPIN, LOOKS),
            # A store of its own for every start: in a shared one, restarted processes may find the
            # addresses of those before.
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        }


def visible_gpus() -> tuple[str, ...]:
    """The GPUs of this machine that may be used, as `CUDA_VISIBLE_DEVICES` names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(GPUS, "").split(",") if name.strip()]
    return tuple(named[:count] or map(str, range(count)))


def default_devices(slots: int = 1) -> int:
    """A slot's share of this machine's GPUs; one CPU process where there are none."""
    return max(len(visible_gpus()) // slots, 1)
