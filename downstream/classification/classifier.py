"""The classifier that is fine-tuned: encoder, pooling, linear head."""

from typing import Any

import torch
from mmengine.model import BaseModel
from torch import nn

from downstream.classification.answers import Answers
from mae_core.data.normalize import Normalize
from mae_core.drop_path import draw_paths
from mae_core.encoders import Encoder
from mae_core.errors import UserError


class Classifier(BaseModel):
    """Encoder, pooling, norm, head.

    The encoder's final norm comes after the pooling and, with pool 'avg', begins anew: it is the
    `fc_norm` of timm and facebookresearch/mae. For the class token it is as pretrained. With
    `norm_first` it stays the encoder's, on every token before the pooling, as in timm without
    `fc_norm`: the head sees what the encoder alone gives. So it does for an encoder without a norm
    that may come after.

    Args:
        encoder: trained further.
        classes: number of the head's outputs: of classes, of labels, or 1.
        preprocessor: normalises uint8 images.
        pool: 'avg' over patches, the 'cls' token where there is one, or another of the encoder's.
        label_smoothing: of the loss, see :meth:`Answers.loss`.
        head_std: deviation of the head's first weights.
        norm_first: whether the norm comes before the pooling.
        answers: what the head answers with; the class of each image without it.
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        preprocessor: Normalize,
        pool: str = "avg",
        label_smoothing: float = 0.0,
        head_std: float = 0.01,
        norm_first: bool = False,
        answers: Answers | None = None,
    ) -> None:
        super().__init__(data_preprocessor=preprocessor)
        # Positions too are learnt, as in models_vit.py of facebookresearch/mae.
        self.encoder = encoder.requires_grad_(True)
        self.pool = pool
        self.norm_first = norm_first or encoder.norm is None
        self.label_smoothing = label_smoothing
        self.answers = answers or Answers()
        self.head = nn.Linear(encoder.pooled_width(pool), classes)
        nn.init.trunc_normal_(self.head.weight, std=head_std)
        nn.init.zeros_(self.head.bias)
        if self.has_own_norm:
            norm: Any = encoder.norm
            norm.reset_parameters()
        self.frozen: list[nn.Module] = []

    @property
    def has_own_norm(self) -> bool:
        """Whether the norm is trained on averages, for which the encoder alone has no place."""
        return self.pool == "avg" and not self.norm_first

    def forward(
        self,
        inputs: torch.Tensor,
        label: torch.Tensor,
        mode: str = "tensor",
        seed: torch.Tensor | None = None,
        **_: Any,
    ) -> Any:
        """Classify `inputs` (N, C, H, W), normalised.

        Args:
            inputs: images.
            label: see :meth:`Answers.loss`.
            mode: 'loss' gives a dict of the loss; 'predict' and 'tensor' answers (N, classes).
            seed: (N,) int64, of the images' stochastic depth in training.
        """
        draw_paths(self.encoder, seed)
        raw = self.head(self.features(inputs))
        if mode == "loss":
            return {"loss": self.answers.loss(raw, label, self.label_smoothing)}
        return self.answers(raw)

    def freeze(self, blocks: float) -> None:
        """Train only the last `blocks` blocks, the norm and the head (paper, 4.3 and Fig. 9).

        Half a block is the MLP of the last one. The others' weights stay, without stochastic depth.

        Raises:
            UserError: if it is no such number, more than there are, or a half where the family has
                none.
        """
        inner, last = self.encoder.parts()[1:-1], self.encoder.parts()[-1]
        depth = len(inner)
        if blocks != 0.5 and (blocks != int(blocks) or not 0 <= blocks <= depth):
            raise UserError(f"{blocks} blocks: expected 0, 0.5, or a whole number up to {depth}")
        if blocks == 0.5:
            self.encoder.require("half_block", "half a block of partial fine-tuning")
            trained = [self.encoder.half_block(), last]
        else:
            trained = [*inner[depth - int(blocks) :], last]
        self.encoder.requires_grad_(False)
        for part in trained:
            for one in part:
                one.requires_grad_(True)
        self.frozen = [block for block in self.encoder.block_modules() if not any_trained(block)]
        self.train(self.training)

    def train(self, mode: bool = True) -> "Classifier":
        """As any module's, but what is frozen stays in evaluation."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, width), what the head sees."""
        return self.encoder.pooled(images, self.pool, norm_last=not self.norm_first)


def any_trained(module: nn.Module) -> bool:
    """Whether a parameter of the module is trained."""
    return any(parameter.requires_grad for parameter in module.parameters())
