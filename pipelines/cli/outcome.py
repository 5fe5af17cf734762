"""How a command ends: its exit code, and what it says at the end."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.markup import escape

from mae_core.errors import UserError, check_name
from pipelines.cli.home import HomeGroup
from pipelines.errors import BenchmarkFailed, StageFailed, StageInterrupted
from pipelines.last_net import (
    CheckFailed,
    disk_fault,
    in_a_line,
    path_fault,
    where,
    write_details,
)
from pipelines.stopping import INTERRUPTED, MESSAGE

DONE, FAILURE, USER_MISTAKE = 0, 1, 2  # and INTERRUPTED


@contextmanager
def interruptible() -> Iterator[None]:
    """Make Ctrl-C an outcome of ours: typer would take it for an abort with exit code 130."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise StageInterrupted("on request") from error


class Commands(HomeGroup):
    """All commands, each of which can be interrupted."""

    def invoke(self, ctx: Any) -> Any:
        """Call the command that was asked for."""
        with interruptible():
            return super().invoke(ctx)


def outcome(call: Callable[[], Any]) -> tuple[int, str]:
    """Run the command; its exit code and what to say at the end, in rich's markup."""
    try:
        for given in (*sys.argv, os.getcwd()):
            check_name(given)
        call()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None), ""
    except (StageInterrupted, KeyboardInterrupt):
        return INTERRUPTED, MESSAGE
    except UserError as error:
        details = write_details(error) if isinstance(error, CheckFailed) else ""
        return USER_MISTAKE, f"[bold red]error:[/] {escape(str(error) + details)}"
    except (StageFailed, BenchmarkFailed) as error:
        return FAILURE, f"[bold red]failed:[/] {escape(str(error))}"
    except Exception as error:
        if told := disk_fault(error) or path_fault(error):
            return USER_MISTAKE, f"[bold red]error:[/] {escape(told)}"
        if of_server(error):
            told = f"a server or its store did not do its part: {in_a_line(error)}"
            return FAILURE, f"[bold red]failed:[/] {escape(told + write_details(error))}"
        told = f"a fault of mae-bench, {in_a_line(error)} ({where(error)}){write_details(error)}"
        return FAILURE, f"[bold red]failed:[/] {escape(told)}"
    return DONE, ""


def of_server(error: Exception) -> bool:
    """Whether a client of MLflow, Prefect or a database raised it: an outage, or a refusal."""
    package = type(error).__module__.partition(".")[0]
    return package in ("mlflow", "prefect", "requests", "httpx", "sqlalchemy", "botocore")
