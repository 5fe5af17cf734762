"""Run the tests in six processes, as many at once as there are cores, the longest first."""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CLUSTER = "tests/pipelines/service/test_cluster.py"
GROUPS = {
    "demo": ["tests/test_demo.py"],
    "pipelines": ["tests/pipelines", f"--ignore={CLUSTER}"],
    "services": ["tests/test_chaos.py", "tests/test_service.py", "tests/test_survival.py", CLUSTER],
    "others": ["tests", "--ignore=tests/pipelines"],
    "core": ["tests/mae_core", "tests/configs"],
    "docs": ["tests/docs", "tests/benchmarks"],
}  # one process for the last three took 4 GB
for name in ("demo", "services", "core", "docs"):
    GROUPS["others"] += [f"--ignore={file}" for file in GROUPS[name]]


def main() -> int:
    """0 if all tests passed."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        codes = list(pool.map(run, GROUPS))
    return int(any(codes))


def run(name: str) -> int:
    """The exit code of a group's tests; what they say is printed in one piece.

    A process that ended before its last test has failed, whatever its code: pytest writes its
    report at the very end.
    """
    print(f"{name}: {' '.join(GROUPS[name])}", flush=True)
    keeping = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # hundreds of processes share it
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *GROUPS[name], f"--junit-xml={report}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=keeping,
        )
        came_to_its_end = report.exists()
    code = done.returncode or int(not came_to_its_end)
    minutes = (time.monotonic() - begun) / 60
    broken_off = "" if came_to_its_end else ", broken off"
    print(f"\n{done.stdout}\n{name}: code {code}{broken_off} after {minutes:.1f} min", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
