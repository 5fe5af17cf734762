import pytest

from mae_core.data import fashion_mnist
from mae_core.data.fashion_mnist import Location, Split


@pytest.fixture(scope="session")
def real() -> Location:
    """The real images, from whichever source this machine has."""
    return fashion_mnist.locate()


@pytest.fixture(scope="session")
def splits(real: Location) -> dict[str, Split]:
    return fashion_mnist.load(real)
