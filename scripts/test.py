"""Run the tests: the demo and those of whole services, half of the time, beside all others."""

import subprocess
import sys
import tempfile

SERVICES = [
    "tests/test_demo.py",
    "tests/test_chaos.py",
    "tests/test_service.py",
    "tests/pipelines/test_cluster.py",
]
PYTEST = [sys.executable, "-m", "pytest"]


def main() -> int:
    """0 if all tests passed."""
    with tempfile.TemporaryFile("w+") as log:
        services = subprocess.Popen([*PYTEST, *SERVICES], stdout=log, stderr=subprocess.STDOUT)
        others = subprocess.run([*PYTEST, *(f"--ignore={file}" for file in SERVICES)]).returncode
        print(f"\nwaiting for {', '.join(SERVICES)}", flush=True)
        services.wait()
        log.seek(0)
        print(log.read())
    return int(others != 0 or services.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
