"""A method of pretraining: predict the mean colour of an image."""

import torch
from torch import Tensor, nn

from mae_core import UserError
from mae_core.encoders import Encoder
from mae_core.methods import Method, register_method


@register_method("mean_colour")
class MeanColour(Method):
    """A linear layer on pooled features."""

    def __init__(self, encoder: Encoder, weight: float = 1.0) -> None:
        super().__init__()
        if weight <= 0:
            raise UserError(f"weight={weight}: expected a number above 0")
        self.encoder, self.config, self.weight = encoder, {"weight": weight}, weight
        self.head = nn.Linear(encoder.pooled_width("avg"), encoder.config["in_chans"])
        self.register_buffer("progress", torch.zeros(2))  # updates done, and to do

    def losses(self, images: Tensor, seeds: Tensor) -> dict[str, Tensor]:
        """The squared error, which is trained, and beside it the predictions' spread."""
        found = self.head(self.encoder.pooled(images, "avg"))
        error = (found - images.mean(dim=(2, 3))).square().mean()
        return {"loss": self.weight * error, "spread": found.detach().std()}

    def after_update(self, step: int, steps: int) -> None:
        """Keep count."""
        self.progress.copy_(torch.tensor([step, steps]))
