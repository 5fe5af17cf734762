from collections.abc import Iterable

from pipelines.doctor.finding import Finding


def only(findings: Iterable[Finding]) -> Finding:
    """The only finding; what is not ok says what to do."""
    (found,) = findings
    assert bool(found.todo) == (found.mark != "ok")
    return found
