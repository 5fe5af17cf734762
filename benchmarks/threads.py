"""What a stage keeps of its speed next to a busy process, by how its threads wait for each other.

python -m benchmarks.threads
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.measure import machine

WAYS: dict[str, dict[str, str]] = {
    "as OpenMP is set up": {},
    "a short spin": {"GOMP_SPINCOUNT": "1000"},
    "asleep at once": {"OMP_WAIT_POLICY": "PASSIVE"},
}
BUSY = "while True: pass"


def steps_per_second(seconds: float) -> float:
    """Training steps of the demo's MAE on 128 random images, in this process."""
    import torch

    from mae_core import create_model

    torch.manual_seed(0)
    model = create_model("vit-micro-p6", img_size=30, decoder_width=64, decoder_depth=2)
    images = torch.randn(128, 3, 30, 30)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        model(images).loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    steps, begun = 0, time.perf_counter()
    while time.perf_counter() < begun + seconds:
        step()
        steps += 1
    return steps / (time.perf_counter() - begun)


def measured(way: Mapping[str, str], seconds: float, threads: int) -> float:
    """The same, in a process of its own with these variables."""
    command = [sys.executable, "-m", "benchmarks.threads", "--child", "--seconds", str(seconds)]
    variables = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), **way}
    done = subprocess.run(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """Within the block another process keeps one core busy."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Measure the ways in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    seconds, threads = arguments.seconds, arguments.threads
    if arguments.child:
        print(steps_per_second(seconds))
        return
    quiet: dict[str, list[float]] = {name: [] for name in arguments.ways}
    shared: dict[str, list[float]] = {name: [] for name in arguments.ways}
    for _ in range(arguments.rounds):
        for name in arguments.ways:
            way = WAYS[name]
            quiet[name].append(measured(way, seconds, threads))
            with busy_neighbour():
                shared[name].append(measured(way, seconds, threads))
    print(machine("cpu"))
    print("\n| threads wait | steps/s alone | beside a busy process | kept |")
    print("|---|---:|---:|---:|")
    for name in arguments.ways:
        alone, beside = statistics.median(quiet[name]), statistics.median(shared[name])
        print(f"| {name} | {alone:.1f} | {beside:.1f} | {beside / alone:.2f} |")


if __name__ == "__main__":
    main()
