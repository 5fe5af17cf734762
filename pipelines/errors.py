"""How a stage or a benchmark ends, when not with a result or a mistake of the user."""


class StageFailed(Exception):
    """A stage's process ended with an error; the message has the end of its log."""


class BenchmarkFailed(Exception):
    """Some stages of a benchmark failed; the others are finished and in the report."""


class StageInterrupted(Exception):
    """A stage's process was stopped on request; what it saved can be resumed."""
