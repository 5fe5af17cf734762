"""A stage in a process of its own: `python -m pipelines.stage_process JOB EVENTS_FD`.

Reads the job's JSON, writes events as JSON lines to the file descriptor, and leaves
`result.json` in the stage's folder. Ends when the process that started it goes away.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

USER_MISTAKE, INTERRUPTED = 2, 75


class PipeReporter:
    """Write what a stage reports as JSON lines."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def progress(self, done: int, total: int, unit: str, **shown: float) -> None:
        """One line with how far the stage is."""
        self._send(event="progress", done=done, total=total, unit=unit, shown=shown)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One line with metrics."""
        self._send(event="log", values=dict(values), step=step)

    def error(self, message: str) -> None:
        """One line with the user's mistake."""
        self._send(event="error", message=message)

    def _send(self, **event: Any) -> None:
        self.stream.write(json.dumps(event) + "\n")
        self.stream.flush()


def end_with_parent() -> None:
    """Leave, with all children, when standard input closes, as it does when the parent dies."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(INTERRUPTED)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run the stage that the job describes."""
    end_with_parent()
    job = json.loads(Path(sys.argv[1]).read_text())
    reporter = PipeReporter(os.fdopen(int(sys.argv[2]), "w"))

    from mmengine.config import Config

    from mae_core.errors import UserError
    from pipelines.stages import stage_function

    work_dir = Path(job["work_dir"])
    try:
        config = Config.fromfile(job["config"])
        result = stage_function(job["stage"])(config, job["encoder"], work_dir, reporter)
    except UserError as error:
        reporter.error(str(error))
        sys.exit(USER_MISTAKE)
    result.save(work_dir / "result.json")


if __name__ == "__main__":
    main()
