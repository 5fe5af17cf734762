"""FCMAE (ConvNeXt V2, Woo et al. 2023, arXiv 2301.00808, 3): a masked ConvNet, a light decoder."""

import torch
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn

from mae_core.encoders.base import Encoder
from mae_core.encoders.vit import check_counts
from mae_core.methods.masked_conv import MaskedConv, init_convolutions
from mae_core.methods.masked_layers import Visible, masked
from mae_core.methods.registry import register_method


class LightDecoder(nn.Module):
    """ConvNeXt V2 blocks on the last map, and a linear layer from each place to its patch.

    The norm over responses (GRN) is that of each image.
    """

    def __init__(self, features: int, width: int, depth: int, pixels: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(features, width, kernel_size=1)
        self.mask_token = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.blocks = nn.Sequential(
            *(ConvNeXtBlock(width, use_grn=True, ls_init_value=None) for _ in range(depth))
        )
        self.pred = nn.Conv2d(width, pixels, kernel_size=1)
        init_convolutions(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, features: Tensor, hidden: Tensor) -> Tensor:
        """The last map, and where it is masked -> the pixels of all patches.

        Args:
            features: (N, D, h, w).
            hidden: (N, h, w) bool.

        Returns:
            (N, h * w, pixels).
        """
        x = self.embed(features)
        x = torch.where(hidden.unsqueeze(1), self.mask_token.to(x.dtype), x)
        found: Tensor = self.pred(self.blocks(x)).flatten(2).transpose(1, 2)
        return found


@register_method("fcmae")
class FCMAE(MaskedConv):
    """See :class:`MaskedConv`; the decoder sees the last map alone.

    Args:
        encoder: a ResNet, ConvNeXt or ConvNeXt V2 of timm.
        mask_ratio: share of masked patches, 0 to below 1 (paper, 3: 0.6).
        norm_pix_loss: predict pixels normalised by each patch's mean and deviation.
        decoder_width: channels of its blocks (paper: 512).
        decoder_depth: number of them (paper: 1).

    Raises:
        UserError: as :class:`MaskedConv`, and for a size that is no whole number above 0.
    """

    sizes = ("decoder_width", "decoder_depth")
    decoder: LightDecoder

    def __init__(
        self,
        encoder: Encoder,
        mask_ratio: float = 0.6,
        norm_pix_loss: bool = True,
        decoder_width: int = 512,
        decoder_depth: int = 1,
    ) -> None:
        super().__init__(encoder, mask_ratio, norm_pix_loss)
        check_counts({"decoder_width": decoder_width, "decoder_depth": decoder_depth})
        pixels = self.patch_size**2 * encoder.config["in_chans"]
        self.decoder = LightDecoder(encoder.widths[-1], decoder_width, decoder_depth, pixels)
        self.config |= {"decoder_width": decoder_width, "decoder_depth": decoder_depth}

    def predict(self, images: Tensor, visible: Tensor) -> Tensor:
        """See :meth:`MaskedUnits.predict`."""
        seen = Visible(visible)
        with masked(self.encoder, seen):
            features = self.encoder(seen.only(images))
        found: Tensor = self.decoder(features, seen.hidden(*features.shape[2:]))
        return found
