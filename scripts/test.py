"""Run the tests: those of the demo, which take as long as all others, beside them."""

import subprocess
import sys
import tempfile

DEMO = "tests/test_demo.py"
PYTEST = [sys.executable, "-m", "pytest"]


def main() -> int:
    """0 if all tests passed."""
    with tempfile.TemporaryFile("w+") as log:
        demo = subprocess.Popen([*PYTEST, DEMO], stdout=log, stderr=subprocess.STDOUT)
        others = subprocess.run([*PYTEST, f"--ignore={DEMO}"]).returncode
        print(f"\nwaiting for {DEMO}", flush=True)
        demo.wait()
        log.seek(0)
        print(log.read())
    return int(others != 0 or demo.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
