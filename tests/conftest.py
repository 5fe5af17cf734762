import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of two processes one runs the demo, the other all else in its usual order."""
    for item in items:
        group = "demo" if item.path.name == "test_demo.py" else "others"
        item.add_marker(pytest.mark.xdist_group(group))
