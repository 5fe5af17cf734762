"""Semantic masks looked at before training: whether they can be read, and what they mean.

What makes a result meaningless is an error, what is only suspicious a note.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from downstream.dense.data import IGNORED, VALUES, Masks, find_masks, read_mask
from downstream.dense.pictures import decoded_size, of_each
from mae_core.errors import UserError

LOOKED_AT = 2000  # images of each split, evenly spread; `data check` looks at all
FEW = 5  # faults and names in a message
TWO = 2  # classes below which every score is 1 or undefined


class Scan(NamedTuple):
    """An image and its mask, looked at.

    Attributes:
        counts: (256,) int64, pixels of the mask by value.
        fault: why they cannot be used, or nothing.
    """

    counts: NDArray[np.int64]
    fault: str = ""


def scan(pair: tuple[Path, Path]) -> Scan:
    """Decode an image and its mask, and compare their sizes."""
    image, path = pair
    counts: NDArray[np.int64] = np.zeros(VALUES, np.int64)
    try:
        mask = read_mask(path)
    except UserError as error:
        return Scan(counts, str(error))
    except Exception as error:  # Pillow's readers raise many kinds
        return Scan(counts, f"{path} cannot be read as a mask ({in_short(error)})")
    counts = np.bincount(mask.ravel(), minlength=VALUES)
    try:
        size = decoded_size(image)
    except UserError as error:
        return Scan(counts, str(error))
    if mask.shape != size:
        sizes = f"{mask.shape[1]}×{mask.shape[0]} pixels, its image {size[1]}×{size[0]}"
        return Scan(counts, f"{path} is {sizes}")
    return Scan(counts)


def in_short(error: Exception) -> str:
    """An error's kind and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]:.200}"


def check_masks(
    splits: Mapping[str, Masks],
    table: Sequence[int],
    ignored: Sequence[int],
    classes: Sequence[str] = (),
) -> list[str]:
    """Look at up to `LOOKED_AT` images and masks of each split; what is worth knowing of them.

    Args:
        splits: by name.
        table: see :func:`downstream.dense.data.label_table`.
        ignored: pixel values without a class, beside 255.
        classes: names by label; numbers without them.

    Raises:
        UserError: if an image or a mask cannot be read, they differ in size, a mask holds a value
            that is neither a class's nor ignored, or fewer than two classes occur.
    """
    labels = np.array(table)
    known = {*np.flatnonzero(labels != IGNORED).tolist(), IGNORED, *ignored}
    count = int((labels != IGNORED).sum())
    names = list(classes) or [str(label) for label in range(count)]
    notes = []
    for name, split in splits.items():
        pairs = split.pairs[:: -(-len(split.pairs) // LOOKED_AT)]
        scans = of_each(scan, pairs)
        refuse_faults(name, pairs, scans, known)
        there = np.stack([found.counts > 0 for found in scans])  # (masks, values)
        hint = setting_for(np.flatnonzero(there.any(axis=0)).tolist(), count)
        occurring = {label for label in labels[there.any(axis=0)].tolist() if label != IGNORED}
        if len(occurring) < TWO:
            only = [names[label] for label in sorted(occurring)]
            raise UserError(
                f"the masks of {name} have {f'no class but {only[0]!r}' if only else 'no class'}, "
                f"so that a score would mean nothing: {hint}"
            )
        of = name if len(pairs) == len(split.pairs) else f"{name} that was looked at"
        missing = [text for label, text in enumerate(names) if label not in occurring]
        if missing:
            notes.append(f"no mask of {of} has a pixel of {listed(missing)}: {hint}")
        invalid = ~there[:, labels != IGNORED].any(axis=1)
        empty = [str(pairs[place][1]) for place in np.flatnonzero(invalid)]
        if empty:
            notes.append(f"mask(s) of {of} without a valid pixel: {listed(empty)}: {hint}")
    return notes


def refuse_faults(
    name: str, pairs: Sequence[tuple[Path, Path]], scans: Sequence[Scan], known: set[int]
) -> None:
    """Raise UserError, with the first few, if images or masks cannot be used."""
    faults = [found.fault for found in scans if found.fault]
    if faults:
        more = f", and {len(faults) - FEW:,} more" if len(faults) > FEW else ""
        raise UserError(f"{'; '.join(faults[:FEW])}{more}: mend these files of {name}")
    for (_, path), found in zip(pairs, scans, strict=True):
        odd = sorted(set(np.flatnonzero(found.counts).tolist()) - known)
        if odd:
            raise UserError(
                f"{path} holds the values {odd[:20]}: expected class ids {sorted(known)[:20]}, or "
                f"{IGNORED} for pixels to ignore; pixel_values names the value of each class, "
                "ignored those of none"
            )


def setting_for(values: Sequence[int], classes: int) -> str:
    """What masks that hold `values` may be in want of."""
    shown = ",".join(map(str, values[:20])) + (",..." if len(values) > 20 else "")
    if len(values) == classes:
        return f"they hold the values {shown}; perhaps pixel_values=[{shown}] is meant"
    unnamed = f", of which {IGNORED} has no class unless pixel_values names it"
    return (
        f"they hold the values {shown}{unnamed if IGNORED in values else ''}; pixel_values names "
        "the value of each class in the order of classes"
    )


def listed(names: Sequence[str]) -> str:
    """The first few."""
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    return f"{', '.join(map(repr, names[:FEW]))}{more}"


class MaskFolder(NamedTuple):
    """What a folder of masks holds.

    Attributes:
        images: how many, each with its mask.
        pixels: share of the pixels of each value.
        faults: one line each.
        notes: what is only suspicious, one line each.
    """

    images: int
    pixels: dict[int, float]
    faults: list[str]
    notes: list[str]


def check_mask_folder(images: Path, masks: Path) -> MaskFolder:
    """Decode every image and mask: that it is one number a pixel, and of its image's size.

    Raises:
        UserError: if an image has no mask, or there are none.
    """
    pairs = find_masks(images, masks).pairs
    scans = of_each(scan, pairs)
    faults = [found.fault for found in scans if found.fault]
    for (_, path), found in zip(pairs, scans, strict=True):
        if found.counts.any() and found.counts.sum() == found.counts[IGNORED]:
            faults.append(
                f"{path} has no pixel with a class: all are {IGNORED}, which is ignored unless "
                "pixel_values names it"
            )
    counts = np.sum([found.counts for found in scans], axis=0)
    values = np.flatnonzero(counts).tolist()
    if len(values) == 1 and values != [IGNORED]:
        faults.append(
            f"all masks in {masks} hold {values[0]} alone: there is nothing to tell apart"
        )
    shares = {v: float(counts[v] / counts.sum()) for v in values}
    return MaskFolder(len(pairs), shares, faults, notes_on(values))


def notes_on(values: Sequence[int]) -> list[str]:
    """What should be known of masks that hold these values and no others."""
    classes = [value for value in values if value != IGNORED]
    if len(classes) == 1 and IGNORED in values:
        return [
            f"the only values are {classes[0]} and {IGNORED}, and {IGNORED} is ignored unless it "
            f"is named: if both are classes, train with pixel_values=[{classes[0]},{IGNORED}]"
        ]
    if len(classes) > 1 and classes != list(range(len(classes))):
        shown = ",".join(map(str, classes[:20])) + (",..." if len(classes) > 20 else "")
        return [
            f"the values are not 0, 1, 2, ...: train with pixel_values=[{shown}], one for each "
            "class, and name those without a class in ignored"
        ]
    return []
