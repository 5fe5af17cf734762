"""Groups of images that belong together: of one patient, slide, scene or video."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mae_core.data.sources.base import (
    Groups,
    labels_by_name,
    one_but_for_capitals,
    one_number,
)
from mae_core.errors import UserError
from mae_core.notices import say

Indices = NDArray[np.int64]
SHOWN = 3  # names in a message


def groups_by_name(values: Sequence[str], of: str = "the data") -> Groups:
    """Groups numbered in natural order of their names; without a name an image is its own group.

    Args:
        values: the name of each image's group, '' without one.
        of: the data, for messages.

    Raises:
        UserError: if two names are one number: a patient that is two is tested on memory.
    """
    names, numbers = labels_by_name(values)
    if same := one_number(names):
        raise UserError(
            f"{of} has the groups '{same[0]}' and '{same[1]}', one number and two groups: write "
            "them alike"
        )
    if alike := one_but_for_capitals(names):
        say(
            f"{of}: groups that differ in capitals alone are groups of their own: "
            f"{', '.join(alike[:SHOWN])}"
        )
    alone = np.flatnonzero(numbers < 0)
    numbers[alone] = len(names) + np.arange(len(alone))
    return Groups([*names, *[""] * len(alone)], numbers)


def groups_by_pattern(names: Sequence[str], pattern: str, of: str) -> Groups:
    """Groups by what a regular expression finds in the names of images.

    Args:
        names: of the images, below the data.
        pattern: searched for anywhere in a name; its brackets are the group's name, such as
            `(patient\\d+)_`, or all that it finds where it has none.
        of: the data, for messages.

    Raises:
        UserError: if it is no regular expression, or finds nothing in a name, or two names of one
            number, see :func:`groups_by_name`.
    """
    try:
        found = [re.search(pattern, name) for name in names]
    except (re.error, TypeError) as error:
        raise UserError(
            f"group={pattern!r} is no regular expression ({error}): expected one such as "
            r"r'(patient\d+)_'"
        ) from error
    without = [name for name, match in zip(names, found, strict=True) if match is None]
    if without:
        raise UserError(
            f"group={pattern!r} finds nothing in the names of {len(without):,} of {len(names):,} "
            f"images of {of}, such as {', '.join(without[:SHOWN])}: expected a group in each"
        )
    texts = []
    for match in filter(None, found):
        texts.append("/".join(part or "" for part in match.groups()) or match.group())
    nameless = [name for name, text in zip(names, texts, strict=True) if not text.strip("/")]
    if nameless:
        raise UserError(
            f"group={pattern!r} finds an empty name in those of {len(nameless):,} of "
            f"{len(names):,} images of {of}, such as {', '.join(nameless[:SHOWN])}: expected a "
            "name in each"
        )
    return groups_by_name(texts, of)


def whole_groups(
    groups: Groups, labels: NDArray[np.int64], part: tuple[float, float], seed: int
) -> Indices:
    """The images of a range of a seeded order of groups, sorted; parts that meet share no group.

    The groups of a class, which is that of most of their images, lie one after the other in a
    seeded order, each as long as it has images. A group is in the part in which a seeded point of
    it lies: so a part has the share that it asks for of each class, up to a group.

    Args:
        groups: of the images.
        labels: (N,), of the images; those without are a class.
        part: from 0 to 1, the first smaller.
        seed: of the order and the points.
    """
    numbers, of, sizes = np.unique(groups.of, return_inverse=True, return_counts=True)
    kinds, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(numbers), len(kinds)), dtype=np.int64)
    np.add.at(counts, (of, label), 1)
    strata = counts.argmax(axis=1)
    rng = np.random.default_rng(seed)
    order, points = rng.permutation(len(numbers)), rng.random(len(numbers))
    chosen = np.zeros(len(numbers), dtype=bool)
    for stratum in range(len(kinds)):
        members = order[strata[order] == stratum]
        ends = sizes[members].cumsum()
        if len(members):
            at = (ends - points[members] * sizes[members]) / ends[-1]  # above 0, at most 1
            chosen[members] = (part[0] < at) & (at <= part[1])
    return np.flatnonzero(chosen[of]).astype(np.int64)
