import threading
from collections.abc import Iterator

import pytest
from rich.console import Console

from mae_core.errors import UserError
from pipelines.doctor import run
from pipelines.doctor.finding import Finding, Findings, ok, warning, wrong
from pipelines.doctor.run import CHECKS, Check, examine, findings, tell


def fails() -> Findings:
    yield ok("disk", "some")
    raise RuntimeError("the disk\nis gone")


def lines(monkeypatch: pytest.MonkeyPatch, *found: Finding, width: int = 0) -> list[str]:
    """What is printed of findings: to a file, or to a terminal of a width."""
    monkeypatch.setattr(run, "CHECKS", (Check("all", lambda: iter(found)),))
    console = Console(width=width or 40, force_terminal=bool(width), color_system=None)
    with console.capture() as capture:
        for one in found:
            tell(one, console)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_check_that_fails_is_a_finding_and_what_it_found_stays() -> None:
    first, second = findings(Check("disk", fails))
    assert first == ok("disk", "some")
    assert second.mark == "wrong" and second.todo
    assert second.found == "the check failed, RuntimeError: the disk"


def test_a_check_that_hangs_is_a_finding() -> None:
    end = threading.Event()

    def hangs() -> Iterator[Finding]:
        end.wait()
        yield ok("disk", "some")

    (found,) = findings(Check("disk", hangs, 0.1))
    end.set()
    assert found.mark == "wrong" and found.found.startswith("no answer within")


def test_in_a_file_a_finding_is_one_line_whatever_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = lines(monkeypatch, ok("disk", "some"), wrong("MLflow", 30 * "[long] ", "start it"))
    assert shown == [
        "ok       disk           some",
        f"wrong    MLflow         {30 * '[long] '} → start it",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_in_a_terminal_a_long_finding_stays_in_its_column(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    first, *rest = lines(monkeypatch, warning("disk", 20 * "little ", "make room"), width=width)
    assert first.startswith("warning  disk           little little")
    assert rest and all(line.startswith(24 * " ") for line in rest)
    assert all(len(line) <= width for line in [first, *rest])
    assert rest[-1].endswith("→ make room")


def test_anything_wrong_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(quiet=True)
    for found in (ok("disk", "some"), warning("disk", "little", "make room")):
        monkeypatch.setattr(run, "CHECKS", (Check("disk", lambda found=found: iter([found])),))
        examine(console)
    monkeypatch.setattr(run, "CHECKS", (Check("disk", fails), Check("MLflow", fails)))
    with pytest.raises(UserError, match="2 wrong: disk, MLflow"):
        examine(console)


def test_each_check_has_a_name_of_its_own() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
