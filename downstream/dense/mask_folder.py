"""What `data check` finds in a folder of images and one of masks, every one of them looked at."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from downstream.dense.label_map import IGNORED, LabelMap, read_label_map, read_values, told_all
from downstream.dense.mask_file import COLOURED, mode_of
from downstream.dense.masks import BLENDED, scan
from downstream.dense.naming import find_pairs
from downstream.dense.pictures import of_each


class MaskFolder(NamedTuple):
    """What masks hold.

    Attributes:
        images: how many, each with its mask.
        labels: what the values mean, as told or else as it seems.
        pixels: share of the pixels of each value, sorted by value.
        faults: one line each.
        notes: what is only suspicious, one line each.
    """

    images: int
    labels: LabelMap
    pixels: dict[int, float]
    faults: list[str]
    notes: list[str]


def check_mask_folder(
    images: Path, masks: Path, values: object = None, ignored: object = None
) -> MaskFolder:
    """Decode every image and mask: that it holds values of classes, and is of its image's size.

    Args:
        images: folder or pattern, as in configs.
        masks: folder or pattern.
        values: `pixel_values` of a config; without them all values may be classes, and are colours
            if most masks are in colours.
        ignored: as a config's.

    Raises:
        UserError: if an image has no mask, there are none, or no value can be as told.
    """
    pairs = find_pairs(images, masks)
    modes = of_each(mode_of, [mask for _, mask in pairs])
    given = None if values is None else read_label_map(values, ignored or [])
    most = sum(mode in COLOURED for mode in modes) * 2 > len(modes)
    coloured = given.coloured if given else most
    scans = of_each(partial(scan, coloured=coloured, known=given.known if given else None), pairs)
    counts = Counter[int]()
    for found in scans:
        counts.update(found.counts)
    labels = given or guessed(sorted(counts), ignored, coloured)
    faults = [found.fault or found.unknown for found in scans if found.fault or found.unknown]
    for (_, path), found in zip(pairs, scans, strict=True):
        if found.counts and labels.labels.keys().isdisjoint(found.counts):
            faults.append(
                f"{path} has no pixel with a class: all are {told_all(found.counts, coloured)}, "
                "which is ignored unless pixel_values names it"
            )
    if not any(found.unknown for found in scans):  # of which some may be classes
        faults += faults_of(labels, list(counts), masks)
    total = counts.total()
    pixels = {value: counts[value] / total for value in sorted(counts)}
    notes = notes_on(list(pixels), labels, given is not None)
    if not coloured and "P" in modes:
        notes.append(
            f"{modes.count('P'):,} mask(s) have a palette: its indices are the values, its colours "
            "count where pixel_values names colours"
        )
    return MaskFolder(len(pairs), labels, pixels, faults, notes)


def guessed(values: Sequence[int], ignored: object, coloured: bool) -> LabelMap:
    """All values are classes, but for those to ignore. Raises UserError if these are none."""
    without, _ = read_values(ignored or [], "ignored")
    left_out = {*without} if coloured else {*without, IGNORED}
    classes = [value for value in values if value not in left_out]
    return LabelMap(tuple(classes), frozenset(without), coloured)


def faults_of(labels: LabelMap, values: Sequence[int], masks: Path) -> list[str]:
    """What no segmentor could learn."""
    found = [value for value in values if value in labels.labels]
    if len(found) > IGNORED:
        many = f"the masks in {masks} hold {len(found):,} values"
        return [f"{many}, of which at most {IGNORED} can be classes; {BLENDED}"]
    if len(found) == 1 and len(values) == 1:
        only = told_all(found, labels.coloured)
        return [f"all masks in {masks} hold {only} alone: there is nothing to tell apart"]
    return []


def notes_on(values: Sequence[int], labels: LabelMap, given: bool) -> list[str]:
    """What should be known of masks that hold these values and no others."""
    coloured, shown = labels.coloured, told_all(labels.values, labels.coloured)
    if given:
        missing = [value for value in labels.values if value not in values]
        return [f"no mask holds {told_all(missing, coloured)}"] if missing else []
    if coloured:
        return [
            f"the masks are in colours: train with pixel_values=[{shown}], in the order of "
            "classes, and name those without a class in ignored"
        ]
    if len(labels.values) == 1 and IGNORED in values:
        return [
            f"the only values are {shown} and {IGNORED}, and {IGNORED} is ignored unless it "
            f"is named: if both are classes, train with pixel_values=[{shown},{IGNORED}]"
        ]
    if len(labels.values) > 1 and labels.values != tuple(range(len(labels.values))):
        return [
            f"the values are not 0, 1, 2, ...: train with pixel_values=[{shown}], one for each "
            "class, and name those without a class in ignored"
        ]
    return []
