"""Where images come from: folders, tar shards, parquet, Hugging Face, arrays; one interface."""

from collections.abc import Sequence
from pathlib import Path

from mae_core.data.roots import resolve_root
from mae_core.data.sources.base import NO_LABEL, Source
from mae_core.data.sources.folder import FolderSource
from mae_core.data.sources.select import Selection, balanced, listed, share

__all__ = ["NO_LABEL", "Source", "open_source"]


def open_source(
    data: str,
    names_in: str | None = None,
    part: Sequence[float] | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> Source:
    """The images that `data` means, or a selection of them; see docs/data.md.

    Args:
        data: a folder of images, with or without class folders, or 'demo/...'.
        names_in: text file with the names of the images to take, relative to `data`.
        part: take this range of a seeded order, such as (0.0, 0.9) for training and (0.9, 1.0)
            for validation.
        per_class: then keep only so many images of each class, in a seeded choice.
        seed: of the order and the choice.

    Raises:
        UserError: if there is no such thing, it holds no images, or it cannot be read.
    """
    path = resolve_root(data)
    source: Source = FolderSource(path)
    if names_in is not None:
        source = Selection(source, listed(source, str(path), Path(names_in).expanduser()))
    if part is not None:
        source = Selection(source, share(len(source), part, seed))
    if per_class is not None:
        source = Selection(source, balanced(source.labels, source.classes, per_class, seed))
    return source
