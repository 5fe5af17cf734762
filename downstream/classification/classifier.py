"""The classifier that is fine-tuned: encoder, pooling, linear head."""

from typing import Any

import torch
from mmengine.model import BaseModel
from torch import nn
from torch.nn import functional as F

from mae_core.data.normalize import Normalize
from mae_core.drop_path import draw_paths
from mae_core.encoder import ViTEncoder
from mae_core.errors import UserError


class Classifier(BaseModel):
    """Encoder, pooling, norm, head.

    The encoder's final norm comes after the pooling and, with pool 'avg', begins anew: it is the
    `fc_norm` of timm and facebookresearch/mae. For the class token it is as pretrained. With
    `norm_first` it stays the encoder's, on every token before the pooling, as in timm without
    `fc_norm`: the head sees what the encoder alone gives.

    Args:
        encoder: trained further.
        classes: number of classes.
        preprocessor: normalises uint8 images.
        pool: 'avg' over patches or the 'cls' token.
        label_smoothing: of the cross entropy where labels are numbers, 0 to below 1.
        head_std: deviation of the head's first weights.
        norm_first: whether the norm comes before the pooling.
    """

    def __init__(
        self,
        encoder: ViTEncoder,
        classes: int,
        preprocessor: Normalize,
        pool: str = "avg",
        label_smoothing: float = 0.0,
        head_std: float = 0.01,
        norm_first: bool = False,
    ) -> None:
        super().__init__(data_preprocessor=preprocessor)
        self.encoder = encoder
        # Learnt, as in models_vit.py of facebookresearch/mae.
        encoder.pos_embed.requires_grad_(True)
        self.pool = pool
        self.norm_first = norm_first
        self.label_smoothing = label_smoothing
        self.head = nn.Linear(encoder.width, classes)
        nn.init.trunc_normal_(self.head.weight, std=head_std)
        nn.init.zeros_(self.head.bias)
        if self.has_own_norm:
            encoder.norm.reset_parameters()
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
            label: (N,) int64, or for the loss also (N, classes) float, shares of the classes.
            mode: 'loss' gives a dict of the loss; 'predict' (N,) bool, correct or not; 'tensor'
                logits (N, classes).
            seed: (N,) int64, of the images' stochastic depth in training.
        """
        draw_paths(self.encoder, seed)
        logits = self.head(self.features(inputs))
        if mode == "loss":
            smoothing = 0.0 if label.is_floating_point() else self.label_smoothing
            return {"loss": F.cross_entropy(logits, label, label_smoothing=smoothing)}
        return logits.argmax(dim=1) == label if mode == "predict" else logits

    def freeze(self, blocks: float) -> None:
        """Train only the last `blocks` blocks, the norm and the head (paper, 4.3 and Fig. 9).

        Half a block is the MLP of the last one. The others' weights stay, without stochastic depth.

        Raises:
            UserError: if it is no such number, or more than there are.
        """
        depth = self.encoder.depth
        if blocks != 0.5 and (blocks != int(blocks) or not 0 <= blocks <= depth):
            raise UserError(f"{blocks} blocks: expected 0, 0.5, or a whole number up to {depth}")
        half = [self.encoder.blocks[-1].norm2, self.encoder.blocks[-1].mlp]
        last = half if blocks == 0.5 else list(self.encoder.blocks[depth - int(blocks) :])
        self.encoder.requires_grad_(False)
        for module in (self.encoder.norm, *last):
            module.requires_grad_(True)
        self.frozen = [block for block in self.encoder.blocks if not any_trained(block)]
        self.train(self.training)

    def train(self, mode: bool = True) -> "Classifier":
        """As any module's, but what is frozen stays in evaluation."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, width), what the head sees."""
        if self.norm_first:
            return pool_tokens(self.encoder(images), self.pool)
        return self.encoder.norm(pool_tokens(self.encoder.tokens(images), self.pool))


def any_trained(module: nn.Module) -> bool:
    """Whether a parameter of the module is trained."""
    return any(parameter.requires_grad for parameter in module.parameters())


def pool_tokens(tokens: torch.Tensor, pool: str) -> torch.Tensor:
    """(N, 1 + L, D) -> (N, D): 'avg' over patches, or the 'cls' token."""
    return tokens[:, 1:].mean(dim=1) if pool == "avg" else tokens[:, 0]


def last_blocks(pool: str) -> int:
    """How many blocks `pool` takes: 4 for 'last4', 0 for 'avg' and 'cls'.

    Raises:
        UserError: if it is none of these.
    """
    number = pool.removeprefix("last")
    if pool in ("avg", "cls"):
        return 0
    if number == pool or not number.isdecimal() or int(number) < 1:
        raise UserError(f"pool='{pool}': expected 'avg', 'cls', or 'last' and a number of blocks")
    return int(number)


def pooled(encoder: ViTEncoder, images: torch.Tensor, pool: str) -> torch.Tensor:
    """Frozen features of normalised images (N, C, H, W).

    Args:
        encoder: as it is.
        images: normalised.
        pool: 'avg' or 'cls', see :func:`pool_tokens`; or such as 'last4': the class tokens of the
            last four blocks, the last one at the end, then the mean of the last one's patches, all
            after the final norm (DINOv2's `create_linear_input`).

    Returns:
        (N, width), or (N, (n + 1) * width) for 'last<n>'.
    """
    blocks = last_blocks(pool)
    if not blocks:
        return pool_tokens(encoder(images), pool)
    tokens, parts = encoder.embed(images), []
    for number, block in enumerate(encoder.blocks, start=1):
        tokens = block(tokens)
        if number > encoder.depth - blocks:
            parts.append(encoder.norm(tokens[:, 0]))
    return torch.cat([*parts, pool_tokens(encoder.norm(tokens), "avg")], dim=1)
