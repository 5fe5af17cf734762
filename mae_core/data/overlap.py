"""Whether what a task is tested on was among what it learnt from."""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from mae_core.data.images import ImageDataset
from mae_core.data.sources.base import Source, natural
from mae_core.data.sources.factory import HUGGING_FACE
from mae_core.errors import UserError
from mae_core.notices import say

FEW = 200_000  # images up to which each file is asked for what it is, links and all


def tell_overlaps(config: Mapping[str, Any]) -> None:
    """Say which val sets of a stage's config have images that its train sets have too.

    Raises:
        UserError: if two sets of images are scaled from other ranges, or of other bands, see
            `ImageDataset`.
    """
    for train, val in pairs(config):
        one, other = ImageDataset(**train), ImageDataset(**val)
        if one.bits and other.bits and one.bits != other.bits:
            raise UserError(
                f"pixels of {train['data']} use {one.bits} bits, those of {val['data']} "
                f"{other.bits}: set bits={max(one.bits, other.bits)} in both, so that both are "
                "scaled alike"
            )
        if one.bands != other.bands:
            raise UserError(
                f"images of {train['data']} and {val['data']} are read differently: give both "
                "the same bands, clip, log1p and fill"
            )
        tell_overlap(names_of(one), names_of(other), train["data"], val["data"])
        tell_shared_groups(one.source, other.source, train["data"], val["data"])


def tell_shared_groups(train: Source, val: Source, train_at: str, val_at: str) -> None:
    """Say how many groups of the val images, by their names, have train images too.

    Also if groups are known of one of them alone: then nobody can tell.
    """
    if train.groups is None and val.groups is None:
        return
    if train.groups is None or val.groups is None:
        known, unknown = ("val", train_at) if train.groups is None else ("train", val_at)
        say(
            f"groups are known of the {known} images alone: whether those of {unknown} are of the "
            "same groups is not checked; give both a column or a pattern (`group`)"
        )
        return
    groups = val.groups.present()
    shared = sorted(groups & train.groups.present(), key=natural)
    if shared:
        say(
            f"{len(shared):,} of {len(groups):,} groups of the val images ({val_at}) have train "
            f"images too ({train_at}), such as '{shared[0]}': images of a group are alike, so what "
            "is measured says little of new groups; choose others, or split by `part`"
        )


def tell_overlap(train: Iterable[str], val: Iterable[str], train_at: str, val_at: str) -> None:
    """Say how many of the val images, by their paths, are among the train images."""
    known, asked = list(train), list(val)
    exact = len(known) + len(asked) <= FEW
    have = set(identities(known, exact))
    shared = sum(image in have for image in identities(asked, exact))
    if shared:
        say(
            f"{shared:,} of {len(asked):,} val images ({val_at}) are train images too "
            f"({train_at}): what is measured on them is memory, choose others"
        )


def pairs(config: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The train and val sets of images that a stage's config names."""
    entries = [config, *(config.get("datasets") or [])]
    found = [(entry.get("train_data"), entry.get("val_data")) for entry in entries]
    loaders = (config.get("train_dataloader") or {}, config.get("val_dataloader") or {})
    found.append((loaders[0].get("dataset"), loaders[1].get("dataset")))
    for train, val in found:
        if train and val and "data" in train and "data" in val:
            yield dict(train), dict(val)


def names_of(images: ImageDataset) -> list[str]:
    """Where each image lies."""
    return [images.source.name(number) for number in range(len(images))]


def identities(names: Iterable[str], exact: bool) -> Iterator[Any]:
    """What two names of the same image have in common, whatever links lead there.

    Args:
        names: paths of files, or of images inside files or tables.
        exact: ask for each file itself; else for the folder it lies in.
    """
    for name in names:
        if name.startswith(HUGGING_FACE):
            place, _, row = name.rpartition("/")
            yield (place if place.count(":") > 1 else f"{place}:train", row)
            continue
        if exact:
            try:
                state = os.stat(name)
            except OSError:  # inside another file
                pass
            else:
                yield state.st_dev, state.st_ino
                continue
        folder, _, file = name.rpartition("/")
        yield _real(folder), file


@lru_cache(1 << 16)
def _real(folder: str) -> str:
    return os.path.realpath(folder)
