"""What the pixels of semantic masks mean: which class is which value, a number or a colour."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config
from numpy.typing import NDArray

from mae_core.errors import UserError

IGNORED = 255  # a label that is left out of the loss and of the metrics, and a number of no class
NUMBERS, COLOURS = 1 << 16, 1 << 24  # values that a pixel may have
COLOUR = re.compile("#[0-9a-fA-F]{6}")
SHOWN = 20  # values in a message


@dataclass(frozen=True)
class LabelMap:
    """Which class a value of a mask's pixels is.

    Attributes:
        values: one a class, in the order of their labels: numbers from 0 to 65535, or colours
            0xRRGGBB.
        ignored: values without a class.
        coloured: whether values are colours.
    """

    values: tuple[int, ...]
    ignored: frozenset[int] = frozenset()
    coloured: bool = False

    @property
    def known(self) -> frozenset[int]:
        """All values that are expected: of classes, and of none."""
        without = self.ignored if self.coloured else self.ignored | {IGNORED}
        return without.union(self.values)

    def is_unnamed(self, values: Iterable[int]) -> bool:
        """Whether 255 is among the values, and without a class."""
        return not self.coloured and IGNORED in values and IGNORED not in self.values

    @property
    def labels(self) -> dict[int, int]:
        """The label of each class's value."""
        return {value: label for label, value in enumerate(self.values)}

    def lookup(self) -> NDArray[np.uint8]:
        """The label of every value there may be, (65536,) or (16777216,), 255 without a class."""
        table = np.full(COLOURS if self.coloured else NUMBERS, IGNORED, np.uint8)
        table[list(self.values)] = np.arange(len(self.values))
        return table


def label_map(config: Config, classes: Sequence[str]) -> LabelMap:
    """Of a stage's config, for classes by label.

    `config.pixel_values` has the value of each class; without it they are 0, 1, 2, ... Values in
    `config.ignored` have none.

    Raises:
        UserError: if there are not as many values as classes, one is no pixel's, is there twice, or
            is both a class's and ignored, or some are numbers and others colours.
    """
    values = config.get("pixel_values") or range(len(classes))
    found = read_label_map(values, config.get("ignored") or [])
    if len(found.values) != len(classes):
        raise UserError(
            f"{len(classes)} classes, but {len(found.values)} values: name one for each in "
            "pixel_values"
        )
    return found


def read_label_map(pixel_values: object, ignored: object) -> LabelMap:
    """As :func:`label_map`, for as many classes as there are values."""
    values, coloured = read_values(pixel_values, "pixel_values")
    without, colours = read_values(ignored, "ignored")
    if without and colours != coloured:
        kinds = ("numbers", "colours")
        raise UserError(
            f"pixel_values are {kinds[coloured]}, ignored are {kinds[colours]}: expected one kind"
        )
    if both := sorted(set(values) & set(without)):
        raise UserError(f"ignored and pixel_values both have [{told_all(both, coloured)}]")
    return LabelMap(tuple(values), frozenset(without), coloured)


def read_values(given: object, key: str) -> tuple[list[int], bool]:
    """The values that a config lists under `key`, and whether they are colours.

    Raises:
        UserError: unless they are numbers from 0 to 65535, or colours, '#rrggbb' or
            [red, green, blue], each of them another.
    """
    listing: list[Any] = list(given) if isinstance(given, list | tuple | range) else [None]
    numbers = [one for one in listing if type(one) is int and 0 <= one < NUMBERS]
    colours = [colour for one in listing if (colour := read_colour(one)) is not None]
    found = colours or numbers
    if len(found) < len(listing) or len(set(found)) < len(found):
        raise UserError(
            f"{key}={given!r:.200}: expected different numbers from 0 to {NUMBERS - 1}, or "
            "different colours, such as '#ff0000' or [255, 0, 0]"
        )
    return found, bool(colours)


def read_colour(given: object) -> int | None:
    """0xRRGGBB of '#rrggbb' or [red, green, blue]; None for anything else."""
    if isinstance(given, str):
        return int(given[1:], 16) if COLOUR.fullmatch(given) else None
    parts = list(given) if isinstance(given, list | tuple) else []
    if len(parts) != 3 or not all(type(part) is int and 0 <= part < 256 for part in parts):
        return None
    return int.from_bytes(bytes(parts))


def told_value(value: int, coloured: bool) -> str:
    """A value as configs have it."""
    return f"'#{value:06x}'" if coloured else str(value)


def told_all(values: Iterable[int], coloured: bool) -> str:
    """Such as "0,1,255" or "'#000000','#ff0000'": the first of the values."""
    listing = list(values)
    shown = ",".join(told_value(value, coloured) for value in listing[:SHOWN])
    return shown + (",..." if len(listing) > SHOWN else "")
