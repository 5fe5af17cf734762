"""What the pretraining stage needs of a method.

A method is a subclass in a module of its own that calls itself by a name, under which its fields
stand in a config (`method = "toy"`, `toy = dict(...)`):

    @register_method("toy")
    class ToyMethod(Method): ...
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mae_core.data.normalize import Normalize
from mae_core.encoders.base import Encoder


class Method(nn.Module):
    """An encoder, what else it takes to train it without labels, and the loss.

    A subclass takes the encoder first, then keyword arguments with defaults, raises UserError for
    values out of range or an encoder that does not do (:meth:`Encoder.require`), and sets:

    Attributes:
        name: see :func:`mae_core.methods.register_method`.
        sizes: the arguments that weights which :meth:`save` wrote must agree with, where they are
            those of all parameters.
        encoder: what is pretrained.
        config: the other arguments, as JSON can say them.
    """

    name: ClassVar[str] = ""
    sizes: ClassVar[tuple[str, ...]] = ()

    encoder: Encoder
    config: dict[str, Any]

    def losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """One step.

        Args:
            images: (N, C, H, W) float, normalised; of the encoder's size unless a config asks for
                smaller ones (:mod:`mae_core.input_sizes`).
            seeds: (N,) int64, one an image. Who draws from these alone (:mod:`mae_core.noise`)
                trains alike however a batch is spread over steps and devices.

        Returns:
            Scalars by name. `loss` is trained, without it the sum of all; the others are logged.
        """
        raise NotImplementedError

    def after_update(self, step: int, steps: int) -> None:
        """Called after each update of the weights, the first is step 1; such as for a teacher."""

    def picture(self, pixels: Tensor, normalize: Normalize, seed: int) -> dict[str, Tensor] | None:
        """Rows of images that show what was learnt, by their labels; None for no picture.

        Args:
            pixels: (N, C, H, W) uint8 or float32.
            normalize: to what the encoder sees, and back.
            seed: of what is drawn at random.

        Returns:
            Rows of (N, C, H, W) as `pixels` are, from above to below.
        """
        return None

    def save(self, folder: Path, about: dict[str, Any]) -> dict[str, str]:
        """Write what is worth keeping beside the encoder, which the stage writes.

        A file with all parameters, whose metadata have :attr:`config` under the method's name, is
        one that another pretraining can go on from.

        Args:
            folder: of the stage.
            about: metadata for files of weights.

        Returns:
            Paths by the artifacts' names.
        """
        return {}

    def compile(self, *args: Any, **options: Any) -> None:
        """Have `losses` compiled, with the arguments of :func:`torch.compile`."""
        self.losses = torch.compile(self.losses, *args, **options)  # type: ignore[method-assign]


def total(losses: dict[str, Tensor]) -> Tensor:
    """What is trained: `loss`, or the sum of all."""
    return losses["loss"] if "loss" in losses else torch.stack([*losses.values()]).sum()
