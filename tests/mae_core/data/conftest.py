import pytest

from mae_core.data.demo import garments
from mae_core.data.demo.garments import Location, Split


@pytest.fixture(scope="session")
def real() -> Location:
    """The real images, from whichever source this machine has."""
    return garments.locate()


@pytest.fixture(scope="session")
def splits(real: Location) -> dict[str, Split]:
    return garments.load(real)
