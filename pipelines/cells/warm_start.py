"""Stages forked from one process that has imported the libraries: `python -m ... SOCKET`.

A benchmark has dozens of stages, many of which compute for less time than the import of torch and
its like takes. None of our own modules is imported before the fork: a stage reads
the code that is there when it starts.

A request is JSON, `[path of a job, current folder, variables]`, with the stage's standard input,
its log, and a socket that gets the stage's process id and then its exit code. The process ends
when nobody can ask any more and all stages are over.
"""

import gc
import importlib
import json
import os
import select
import socket
import sys
import traceback
from contextlib import suppress

LIBRARIES = (
    "torch",
    "timm",
    "mmengine.runner",
    "mmengine.registry",
    "matplotlib.figure",
    "scipy.stats",
    "sympy",
)
LONGEST = 1 << 16  # bytes of a request
FAILED = 1


def main() -> None:
    """Fork a stage for each request; tell how each ended."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is shared stays so: a look through it would copy its pages
    stages: dict[int, tuple[int, socket.socket]] = {}  # by handle: its id, and where it is asked
    watch, more = select.poll(), True
    watch.register(requests, select.POLLIN)
    while more or stages:
        for handle, _ in watch.poll():
            if handle in stages:
                watch.unregister(handle)
                tell_end(handle, *stages.pop(handle))
                continue
            request, files, _, _ = socket.recv_fds(requests, LONGEST, 3)
            more = bool(request)
            if not more:
                watch.unregister(requests)
                continue
            held = [requests.fileno(), *stages, *(one.fileno() for _, one in stages.values())]
            pid = fork_stage(request, files, held)
            for file in files[:2]:
                os.close(file)
            running = os.pidfd_open(pid)
            stages[running] = pid, socket.socket(fileno=files[2])
            watch.register(running, select.POLLIN)


def tell_end(handle: int, pid: int, answer: socket.socket) -> None:
    """Answer whoever asked with the stage's exit code, as `subprocess` has it: -9 for SIGKILL."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError), answer:
        answer.send(str(code).encode())
    os.close(handle)


def fork_stage(request: bytes, files: list[int], held: list[int]) -> int:
    """The id of a new process that runs a stage in a session of its own.

    Args:
        request: see above.
        files: what becomes its standard input, its output and errors, and the answer's socket.
        held: handles that are none of its business.
    """
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        os.setsid()
        with socket.socket(fileno=files[2]) as answer:  # from now on it can be stopped as a session
            answer.send(str(os.getpid()).encode())
        for number, file in enumerate((files[0], files[1], files[1])):
            os.dup2(file, number)
        for file in (*files[:2], *held):
            os.close(file)
        job, folder, variables = json.loads(request)
        os.chdir(folder)
        os.environ.update(variables)
        if not sys.flags.safe_path:
            sys.path[0] = folder  # as `python -m` has it
        sys.argv = ["stage_process", job]
        stage_process = importlib.import_module("pipelines.cells.stage_process")
        stage_process.main()
        stage_process.leave()
    except BaseException:  # nothing of a stage may come back into the loop above
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
