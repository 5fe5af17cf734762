"""Make all checks, each within its time, and tell."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mae_core.errors import UserError
from pipelines.doctor.data import check_data, check_demo
from pipelines.doctor.devices import SECONDS, check_devices
from pipelines.doctor.finding import Finding, Findings, first_line, wrong
from pipelines.doctor.hardware import (
    check_cores,
    check_disk,
    check_memory,
    check_shared_memory,
    check_writable,
)
from pipelines.doctor.packages import check_opencv, check_packages, check_python
from pipelines.doctor.servers import check_mlflow, check_prefect

LIMIT, IMPORTS = 20.0, 60.0  # seconds; imports from a slow disk take long
STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red"}


class Check(NamedTuple):
    """What is looked at, how, and the seconds that this may take."""

    name: str
    look: Callable[[], Findings]
    seconds: float = LIMIT


CHECKS = (
    Check("Python", check_python),
    Check("packages", check_packages),
    Check("OpenCV", check_opencv),
    Check("torch", check_devices, SECONDS + 10),
    Check("cores", check_cores),
    Check("memory", check_memory),
    Check("shared memory", check_shared_memory),
    Check("disk", check_disk),
    Check("folders", check_writable),
    Check("data", check_data),
    Check("demo data", check_demo),
    Check("Prefect", check_prefect, IMPORTS),
    Check("MLflow", check_mlflow, IMPORTS),
)


def examine(console: Console) -> None:
    """Make all checks and print a line for each finding.

    Raises:
        UserError: if anything is wrong.
    """
    faults = []
    for check in CHECKS:
        with console.status(f"looking at {check.name}"):
            found = findings(check)
        for finding in found:
            tell(finding, console)
        faults += [finding.name for finding in found if finding.mark == "wrong"]
    if faults:
        raise UserError(f"{len(faults)} wrong: {', '.join(dict.fromkeys(faults))}")


def findings(check: Check) -> list[Finding]:
    """What a check finds; if it fails or does not end, that is what was found."""
    found: list[Finding] = []

    def look() -> None:
        try:
            found.extend(check.look())
        except Exception as error:  # whatever a library does, the other checks go on
            todo = "mend that, or report it if it is not of this machine"
            what = f"{type(error).__name__}: {first_line(error)}"
            found.append(wrong(check.name, f"the check failed, {what}", todo))

    thread = threading.Thread(target=copy_context().run, args=[look], daemon=True)
    thread.start()
    thread.join(check.seconds)
    if thread.is_alive():
        todo = "see what it waits for: a disk, a network or a device"
        return [wrong(check.name, f"no answer within {check.seconds:.0f} s", todo)]
    return found


def tell(finding: Finding, console: Console) -> None:
    """One line; in a terminal that is too narrow for it, the rest below its beginning."""
    text = f"{finding.found} → {finding.todo}" if finding.todo else finding.found
    mark = Text(finding.mark, style=STYLES[finding.mark])
    if not console.is_terminal:
        console.print(f"{finding.mark:8} {finding.name:14} {text}", markup=False, soft_wrap=True)
        return
    line = Table.grid(padding=(0, 1))
    line.add_column(width=8)
    line.add_column(width=14)
    line.add_column(overflow="fold")
    line.add_row(mark, finding.name, Text(text))
    console.print(line)
