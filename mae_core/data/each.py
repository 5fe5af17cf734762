"""One function over every image of a source, by several processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from joblib import cpu_count
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from mae_core.data.decode import Unreadable, memory_for
from mae_core.data.shared_memory import enough_shared_memory, workers_for
from mae_core.data.sources import Source

T = TypeVar("T")
Progress = Callable[[int, int], None]
CHUNK = 16  # images that a process hands back at once


class Calls(Dataset[T], Generic[T]):
    """The function's values as a data set."""

    def __init__(self, source: Source, function: Callable[[Source, int], T]) -> None:
        self.source, self.function = source, function

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> T:
        with memory_for(self.source.name(index)):
            return self.function(self.source, index)


def each_image(
    source: Source,
    function: Callable[[Source, int], T],
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[T]:
    """`function(source, index)` for every image, in order.

    Args:
        source: of the images.
        function: called in another process; its value is sent back.
        workers: processes, one a core by default; 0 calls in this one.
        progress: called with images done and images in all.
    """
    workers = min(cpu_count(), len(source)) if workers is None else workers
    workers = workers_for(None, 0, workers)  # bytes go through pipes, only locks take memory
    context = "fork" if workers else None
    loader = DataLoader(
        Calls(source, function),
        CHUNK,
        num_workers=workers,
        collate_fn=list,
        multiprocessing_context=context,
        worker_init_fn=one_thread,
    )
    done = 0
    with enough_shared_memory():
        for values in loader:
            yield from values
            done += len(values)
            if progress:
                progress(done, len(source))


def read_stored(source: Source, index: int) -> bytes | NDArray[Any]:
    """The image as it is stored. Raises Unreadable if it is gone."""
    try:
        return source.read(index)
    except OSError as error:
        raise Unreadable.of(source.name(index), error.strerror) from error


def one_thread(_: int) -> None:
    """Begins a loader's worker: there are as many of them as cores, or they serve an encoder."""
    torch.set_num_threads(1)


@contextmanager
def single_threaded() -> Iterator[None]:
    """In the block this process, as a loader's, and threads that begin compute with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
