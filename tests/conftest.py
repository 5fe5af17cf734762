import gc
import resource
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

import downstream  # noqa: F401  gives mmcv its operators before tests import mmdet
from pipelines.cells import warm

MEMORY = 4.0  # GB that a process of the tests may take, as a small laptop has no more

STARTS = {"prefect", "pair", "shared", "trained", "configs"}  # fixtures of tests that start stages

gc.disable()  # all that tests import stays: see the end of the collection

settings.register_profile("any machine", deadline=None)  # a busy one is slow, not wrong
settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def forked_stages() -> Iterator[None]:
    """Stages that tests start in this process need not import torch each.

    pytest has a variable with the name of the test, which no stage's library reads; caches of a
    test's own (`XDG_CACHE_HOME`) are ours.
    """
    with pytest.MonkeyPatch.context() as patch, warm.forking():
        patch.setattr(warm, "READ_LATER", (*warm.READ_LATER, "PYTEST_", "XDG_"))
        yield


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Each test, and what it starts, hears signals as a program in a terminal does.

    Tests that a shell starts with `&` or `nohup` would ignore some. A command that a test has run
    in this process leaves handlers that would end it in silence.
    """
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests have a Prefect server come last; what starts stages or servers is slow.

    A data loader's workers, which are forked, fail in a process that has Prefect's threads.
    """
    for item in items:
        if STARTS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    late = {item.path for item in items if "prefect" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in late)


def pytest_collection_finish() -> None:
    """Modules stay: mmengine, which collects garbage for every data set, need not look at them."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Too much memory is a failure."""
    if max(peaks()) > MEMORY:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    own, child = peaks()
    terminalreporter.write_line(
        f"memory: {own:.1f} GB, at most {child:.1f} GB in a process that was started; "
        f"allowed are {MEMORY:.0f} GB"
    )


def peaks() -> tuple[float, float]:
    """GB that this process took, and the largest of those that it waited for."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    own, child = (resource.getrusage(which).ru_maxrss * 1024 / 1e9 for which in who)
    return own, child
