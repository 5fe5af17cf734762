"""What every benchmark shares: interleaved timing, memory, the machine's own peak."""

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import timm
import torch
import transformers

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def interleaved(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each step; in every round each runs once, after one round of warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            synchronize()
            begun = time.perf_counter()
            step()
            synchronize()
            if number:
                seconds[name].append(time.perf_counter() - begun)
            print(f"round {number}/{rounds} {name}", end="\r", file=sys.stderr)
    return {name: statistics.median(values) for name, values in seconds.items()}


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def matmul_peak(device: str, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest of several large square matrix products."""
    size = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(8):
        synchronize()
        begun = time.perf_counter()
        torch.mm(a, b)
        synchronize()
        times.append(time.perf_counter() - begun)
    return 2 * size**3 / min(times)


def peak_memory(module: str, *arguments: str) -> float:
    """GiB that `python -m module arguments`, a process of its own, prints as its last line."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def own_peak(before: float) -> float:
    """GiB of this process's peak: of the GPU's allocator, or resident above `before` on a CPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resident("VmHWM") - before


def resident(field: str = "VmRSS") -> float:
    """GiB of this process's memory now (VmRSS) or at most (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(kib) / 2**20


def machine(device: str) -> str:
    """Hardware, versions, command and date, as the tables' caption."""
    if device == "cuda":
        hardware = torch.cuda.get_device_name()
    else:
        models = [
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        hardware = f"{models[0]}, {torch.get_num_threads()} threads"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, "
    versions += f"timm {timm.__version__}, transformers {transformers.__version__}"
    command = f"python -m benchmarks.{Path(sys.argv[0]).stem} {' '.join(sys.argv[1:])}".strip()
    return f"{hardware}; {versions}; `{command}`; {date.today()}"
