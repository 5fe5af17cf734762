"""Images of a size that an encoder takes, where it does not take any."""

from typing import NamedTuple

from mmengine.config import Config

from downstream.dense.maps import why_not
from mae_core.agreement import outline
from mae_core.errors import UserError
from mae_core.stage import Reporter


class Sides(NamedTuple):
    """What images a task shows to an encoder.

    Attributes:
        key: of the config, that says how large they are.
        largest: pixels of a side, at most.
        divisor: of all sides; None where all images are `largest` × `largest`.
    """

    key: str
    largest: int
    divisor: int | None


def settle_size(config: Config, sides: Sides, reporter: Reporter) -> None:
    """Have the encoder made for the images, and these filled up, unless it takes them as they are.

    Args:
        config: of a stage, completed.
        sides: of its images.
        reporter: gets a note of images that are filled up.

    Raises:
        UserError: if the encoder cannot be made for images of that size.
    """
    fields, layers = dict(config.encoder), list(config.model.backbone.layers)
    largest, divisor = sides.largest, sides.divisor
    whole = (largest, largest)
    if divisor is None and not why_not(fields, layers, whole):
        return
    if divisor is not None:
        least = (divisor, max(largest - divisor, divisor))
        if not why_not(fields, layers, whole) and not why_not(fields, layers, least):
            return
    made = {**fields, "img_size": list(whole)}
    reason = why_not(made, layers, whole)
    if reason:
        raise UserError(
            f"{sides.key}: the encoder {fields['arch']} takes no images of {largest}×{largest} "
            f"pixels ({reason}): choose another size, such as a multiple of its own, "
            f"{outline(fields).img_size[0]}"
        )
    config.encoder.img_size = config.model.backbone.encoder.img_size = list(whole)
    if divisor is not None:
        config.model.data_preprocessor.pad_size_divisor = largest
        reporter.note(
            f"{fields['arch']} takes images of one size only: all are filled up to "
            f"{largest}×{largest} pixels ({sides.key})"
        )
