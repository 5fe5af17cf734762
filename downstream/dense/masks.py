"""Semantic masks looked at before training: whether they can be read, and what they mean.

What makes a result meaningless is an error, what is only suspicious a note.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from downstream.dense.data import Masks
from downstream.dense.label_map import IGNORED, LabelMap, told_all, told_value
from downstream.dense.mask_file import counted, read_mask
from downstream.dense.naming import Pair
from downstream.dense.pictures import decoded_size, of_each
from mae_core.errors import UserError

LOOKED_AT = 2000  # images of each split, evenly spread; `data check` looks at all
FEW = 5  # faults, names and odd values in a message
TWO = 2  # classes below which every score is 1 or undefined
MOST = 1024  # values of a mask
BLENDED = "borders smoothed by scaling, anti-aliasing or JPEG hold so many: export masks without"


class Scan(NamedTuple):
    """An image and its mask, looked at.

    Attributes:
        counts: pixels of the mask by value, of those that may be there.
        fault: why they cannot be used, or nothing.
        unknown: which other values the mask holds, told, or nothing.
    """

    counts: dict[int, int]
    fault: str = ""
    unknown: str = ""


def scan(pair: Pair, coloured: bool, known: frozenset[int] | None) -> Scan:
    """Decode an image and its mask, compare their sizes, and count the mask's values.

    Args:
        pair: their paths.
        coloured: whether values are colours.
        known: those that may be there; None for any, of which there are not too many.
    """
    image, path = pair
    try:
        mask = read_mask(path, coloured)
        size = decoded_size(image)
    except UserError as error:
        return Scan({}, str(error))
    except Exception as error:  # Pillow's readers raise many kinds
        return Scan({}, f"{path} cannot be read as a mask ({in_short(error)})")
    if mask.shape != size:
        sizes = f"{mask.shape[1]}×{mask.shape[0]} pixels, its image {size[1]}×{size[0]}"
        return Scan({}, f"{path} is {sizes}")
    counts = counted(mask)
    if known is None:
        many = f"{path} holds {len(counts):,} values, which are too many for classes; {BLENDED}"
        return Scan({}, many) if len(counts) > MOST else Scan(counts)
    odd = {value: count for value, count in counts.items() if value not in known}
    sound = {value: count for value, count in counts.items() if value in known}
    if not odd:
        return Scan(sound)
    unknown = f"{path} holds {told_shares(odd, mask.size, coloured)}, which no class has"
    return Scan(sound, unknown=f"{unknown}; {BLENDED}" if len(odd) > FEW + len(sound) else unknown)


def told_shares(counts: Mapping[int, int], pixels: int, coloured: bool) -> str:
    """The most frequent values with their shares of so many pixels."""
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    named = [f"{told_value(v, coloured)} ({share(counts[v] / pixels)})" for v in ordered[:FEW]]
    rest = sum(counts[value] for value in ordered[FEW:]) / pixels
    more = f" and {len(ordered) - FEW:,} more values ({share(rest)})" if ordered[FEW:] else ""
    return f"{', '.join(named)}{more} of its pixels"


def share(part: float) -> str:
    """Such as '12.50%'; what is there is never 0."""
    return f"{part:.2%}" if part >= 1e-4 else "below 0.01%"


def in_short(error: Exception) -> str:
    """An error's kind and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]:.200}"


def check_masks(
    splits: Mapping[str, Masks], labels: LabelMap, classes: Sequence[str] = ()
) -> list[str]:
    """Look at up to `LOOKED_AT` images and masks of each split; what is worth knowing of them.

    Args:
        splits: by name.
        labels: what the masks' values mean.
        classes: names by label; numbers without them.

    Raises:
        UserError: if an image or a mask cannot be read, they differ in size, a mask holds a value
            that is neither a class's nor ignored, or fewer than two classes occur.
    """
    names = list(classes) or [str(label) for label in range(len(labels.values))]
    notes = []
    for name, split in splits.items():
        pairs = split.pairs[:: -(-len(split.pairs) // LOOKED_AT)]
        scans = of_each(partial(scan, coloured=labels.coloured, known=labels.known), pairs)
        refuse_faults(name, scans, labels)
        there = set[int]().union(*(found.counts for found in scans))
        hint = setting_for(sorted(there), labels)
        occurring = {labels.labels[value] for value in there if value in labels.labels}
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
        empty = [
            str(mask)
            for (_, mask), found in zip(pairs, scans, strict=True)
            if labels.labels.keys().isdisjoint(found.counts)
        ]
        if empty:
            notes.append(f"mask(s) of {of} without a valid pixel: {listed(empty)}: {hint}")
    return notes


def refuse_faults(name: str, scans: Iterable[Scan], labels: LabelMap) -> None:
    """Raise UserError, with the first few, if images or masks cannot be used."""
    faults = [found.fault for found in scans if found.fault]
    if faults:
        more = f", and {len(faults) - FEW:,} more" if len(faults) > FEW else ""
        raise UserError(f"{'; '.join(faults[:FEW])}{more}: mend these files of {name}")
    unknown = [found.unknown for found in scans if found.unknown]
    if unknown:
        more = f" ({len(unknown):,} masks of {name} hold such values)" if len(unknown) > 1 else ""
        raise UserError(
            f"{unknown[0]}{more}: expected {expected(labels)}; pixel_values names the value of "
            "each class, ignored those of none"
        )


def expected(labels: LabelMap) -> str:
    """Which values masks may hold."""
    listing = told_all(labels.values, labels.coloured)
    without = labels.known.difference(labels.values)
    none = f", or {told_all(sorted(without), labels.coloured)} for pixels to ignore"
    return f"{listing}{none if without else ''}"


def setting_for(values: Sequence[int], labels: LabelMap) -> str:
    """What masks that hold `values` may be in want of."""
    shown = told_all(values, labels.coloured)
    if len(values) == len(labels.values):
        return f"they hold the values {shown}; perhaps pixel_values=[{shown}] is meant"
    unnamed = f", of which {IGNORED} has no class unless pixel_values names it"
    return (
        f"they hold the values {shown}{unnamed if labels.is_unnamed(values) else ''}; pixel_values "
        "names the value of each class in the order of classes"
    )


def listed(names: Sequence[str]) -> str:
    """The first few."""
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    return f"{', '.join(map(repr, names[:FEW]))}{more}"
