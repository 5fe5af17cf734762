"""The folder of the user's data, and the demo's images."""

import os
from pathlib import Path

from mae_core.data.cache import cache_root
from pipelines.cells.folder import read_record
from pipelines.doctor.finding import Findings, first_line, ok, warning, wrong


def check_data() -> Findings:
    """The folder that relative paths of data are below."""
    from mae_core.data.roots import DATA

    given = os.environ.get(DATA)
    folder = Path(given or "").expanduser().absolute()
    try:
        count = len(os.listdir(folder))
    except OSError as error:
        todo = f"set {DATA} to a folder that you may read, or unset it"
        yield wrong("data", f"{DATA}={given}: {error.strerror}", todo)
        return
    if given:
        yield ok("data", f"{DATA}={given}, with {count:,} entries")
    else:
        yield ok("data", f"paths begin at {folder}, as {DATA} is not set")


def check_demo() -> Findings:
    """Whether the demo's images are there, or what they can be made from."""
    from mae_core.data.demo import DemoSpec

    identity = DemoSpec().identity()
    for folder in cache_root().glob("demo-*"):
        if read_record(folder / "dataset.json").get("identity") == identity:
            yield ok("demo data", f"made in {folder}")
            return
    yield from check_source()


def check_source() -> Findings:
    """Whether Fashion-MNIST is there; a damaged one is told, a missing one may be downloaded."""
    from mae_core.data.demo import garments
    from mae_core.data.demo.garments import ENV, SHA256

    given, name = os.environ.get(ENV), "demo data"
    places = [cache_root() / "fashion-mnist", garments.SYSTEM_FOLDER]
    if given:
        places = [Path(given).expanduser() / "fashion-mnist", Path(given).expanduser()]
    for folder in places:
        if not any((folder / file).exists() for file in SHA256):
            continue
        try:
            garments.verify(folder)
        except garments.Unavailable as error:
            yield wrong(name, first_line(error), f"delete {folder}, or put whole files there")
        else:
            yield ok(name, f"will be made of Fashion-MNIST in {folder}")
        return
    if given:
        found = f"not made yet, and {ENV} has no Fashion-MNIST, where `run demo` will look for it"
        yield warning(name, found, f"unset {ENV} for the demo")
    else:
        yield ok(name, "not there yet: 31 MB to download, from Debian or by torchvision")
