import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests have a Prefect server come last.

    A data loader's workers, which are forked, fail in a process that has Prefect's threads.
    """
    late = {item.path for item in items if "prefect" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in late)
