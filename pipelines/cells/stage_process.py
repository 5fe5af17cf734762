"""A stage's own process: `python -m pipelines.cells.stage_process JOB`, or under torchrun.

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
from typing import TYPE_CHECKING, Any

from mae_core.stage import StageResult
from pipelines.events import EVENTS, FileReporter

if TYPE_CHECKING:
    from mae_core.stage import Reporter
    from pipelines.cells.inputs import Inputs

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
    from mae_core.engine.distributed import rank
    from mae_core.errors import Interrupted, UserError
    from mae_core.notices import accept_any_name
    from mae_core.stage import SilentReporter

    accept_any_name()
    events = FileReporter(path.with_name(EVENTS))
    try:
        result = run_job(job, SilentReporter() if rank() else events)
        if not rank():
            result.save(Path(job["work_dir"]) / "result.json")
    except UserError as error:
        events.send(event="error", message=str(error))
    except Interrupted:
        events.send(event="interrupted")


def run_job(job: dict[str, Any], reporter: "Reporter") -> StageResult:
    """The stage's result, with checksums of its files and digests of what it read.

    Raises:
        UserError: also if code, encoder or data are not, or at the end no longer, those of which
            the job says that the stage's fingerprint was made.
        Interrupted: if it was asked to stop.
    """
    from mmengine.config import Config

    from mae_core.data.shared_memory import enough_shared_memory
    from mae_core.engine.distributed import joined, local_rank, rank
    from mae_core.engine.memory import enough_memory
    from mae_core.errors import Interrupted
    from pipelines.cells.inputs import Inputs
    from pipelines.stages import card_of, stage_function

    config, work_dir = Config.fromfile(job["config"]), Path(job["work_dir"])
    expected = {} if local_rank() else job.get("inputs", {})  # one process of each machine looks
    inputs = Inputs(config, job["encoder"], expected)  # before the stage's code is read
    run = stage_function(job["stage"])
    gc.freeze()
    gc.enable()
    with joined(), enough_shared_memory(), enough_memory():
        try:
            result = run(config, job["encoder"], work_dir, reporter)
        except Interrupted:
            refuse_changed(inputs, work_dir)
            raise
        refuse_changed(inputs, work_dir)
    card_of(job["stage"]).refuse_unknown(result)
    return StageResult() if rank() else result.sealed(inputs.digests)


def refuse_changed(inputs: "Inputs", work_dir: Path) -> None:
    """Raise UserError, in all processes, if what the stage read has changed for one of them."""
    from mmengine.dist import all_gather_object

    from mae_core.errors import UserError

    for refusal in all_gather_object(inputs.check(work_dir)):
        if refusal:
            raise UserError(refusal)


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
