"""What goes wrong: a hook that breaks a training at a chosen step, and a pickle with code."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


def arm(file: Path, action: str, step: int) -> None:
    """Let the training that listens to `file` 'kill' itself, 'raise' or 'hang' before `step`.

    'slow' holds for every step until the file is removed; so does 'outlast', with which the last
    step waits for that.
    """
    file.write_text(f"{action} {step}")


@HOOKS.register_module()
class Fault(Hook):
    """Does what :func:`arm` wrote into `file`."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        action, step = self.file.read_text().split() if self.file.exists() else ("", -1)
        if action in ("slow", "outlast"):
            time.sleep(0.1)
            last = action == "outlast" and runner.iter == runner.max_iters - 1
            while last and self.file.exists():
                time.sleep(0.1)
            return
        if runner.iter != int(step):
            return
        self.file.unlink()
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if action == "raise":
            raise RuntimeError("the device is gone")
        child = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600 & wait; wait"])
        self.file.with_suffix(".hangs").write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code was executed",))
