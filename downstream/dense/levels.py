"""Which maps of an encoder a pyramid is made of, and of which strides."""

import math
from collections.abc import Iterable, Sequence

from mae_core.encoders.base import Encoder
from mae_core.errors import UserError

SCALES = (4, 2, 1, 0.5)  # that a simple feature pyramid makes of a map, fine to coarse


def is_hierarchical(encoder: Encoder) -> bool:
    """Whether an encoder's maps have several strides, as those of ConvNets and Swin do."""
    return len(set(encoder.strides)) > 1


def last_layers(encoder: Encoder) -> dict[int, int]:
    """The last layer of each of an encoder's strides, by stride, fine to coarse."""
    found = {stride: layer for layer, stride in enumerate(encoder.strides)}
    return dict(sorted(found.items()))


def nearest_run(strides: Sequence[float], count: int, finest: float) -> list[float]:
    """So many neighbouring strides, the first as near to `finest` as can be.

    Args:
        strides: in pixels, fine to coarse.
        count: how many; all if there are fewer.
        finest: in pixels; the ratio counts, and of two as near the finer one.
    """
    starts = range(max(len(strides) - count, 0) + 1)
    start = min(starts, key=lambda i: abs(math.log(strides[i] / finest)))
    return list(strides[start : start + count])


def with_coarser(strides: Sequence[float], count: int) -> list[float]:
    """`strides` and as many beyond, each twice the one before, as make `count`."""
    found = list(strides)
    while len(found) < count:
        found.append(2 * found[-1])
    return found


def check_layers(layers: Iterable[int], encoder: Encoder) -> None:
    """Raise UserError for one that an encoder has not."""
    last = len(encoder.widths) - 1
    for layer in layers:
        if not 0 <= layer <= last:
            raise UserError(
                f"block {layer} in layers or global_blocks: this encoder has blocks 0 to {last}"
            )


def in_proportion(layers: Sequence[int], depth: int) -> list[int]:
    """Layers of an encoder of another depth: the last one is the last, others as far up as here.

    Args:
        layers: of a recipe whose encoder ends at the last of them.
        depth: how many layers the other encoder has.
    """
    own = max(layers) + 1
    return [max(round((layer + 1) * depth / own) - 1, 0) for layer in layers]
