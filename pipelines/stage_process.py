"""A stage in a process of its own: `python -m pipelines.stage_process JOB`, or under torchrun.

Reads the job's JSON, tells in `events.jsonl` beside it what happens, and leaves `result.json`. Ends
when the process that started it goes away.
"""

import atexit
import gc
import json
import os
import signal
import sys
import threading
from pathlib import Path

from pipelines.events import EVENTS, FileReporter

FAILED = 1


def end_with_parent() -> None:
    """Leave, with all children, when standard input closes, as it does when the parent dies."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(FAILED)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run the stage that the job describes.

    A mistake of the user and an interruption are events, and end the process without an error:
    torchrun would start it again.
    """
    end_with_parent()
    path = Path(sys.argv[1])
    job = json.loads(path.read_text())

    gc.disable()  # what is imported stays: looking through it again and again takes a fifth longer
    from mmengine.config import Config

    from mae_core.data.shared_memory import enough_shared_memory
    from mae_core.engine.distributed import joined, rank
    from mae_core.errors import Interrupted, UserError
    from mae_core.notices import accept_any_name
    from mae_core.stage import SilentReporter
    from pipelines.stages import stage_function

    accept_any_name()
    run = stage_function(job["stage"])
    gc.freeze()
    gc.enable()
    events = FileReporter(path.with_name(EVENTS))
    reporter = SilentReporter() if rank() else events
    work_dir = Path(job["work_dir"])
    try:
        with joined(), enough_shared_memory():
            config = Config.fromfile(job["config"])
            result = run(config, job["encoder"], work_dir, reporter)
    except UserError as error:
        events.send(event="error", message=str(error))
    except Interrupted:
        events.send(event="interrupted")
    else:
        if not rank():
            result.save(work_dir / "result.json")


def leave() -> None:
    """End this process as done, after Python's own clean-up but without C++'s.

    With torch 2.11 a static thread's destructor aborts one in eight finished processes of several
    (`terminate called without an active exception`), and torchrun would start all of them again.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
    leave()
