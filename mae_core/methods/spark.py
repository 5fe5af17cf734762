"""SparK (Tian et al. 2023, arXiv 2301.03580): a masked ConvNet, a decoder of all its stages."""

from collections.abc import Sequence

import torch
from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from mae_core.encoders.base import Encoder
from mae_core.encoders.vit import check_counts
from mae_core.errors import UserError
from mae_core.methods.masked_conv import MaskedConv, init_convolutions
from mae_core.methods.masked_layers import Visible, masked
from mae_core.methods.registry import register_method
from mae_core.patches import patchify

LEAST_WIDTH = 8  # of the decoder at pixels: norms over fewer channels leave little
MOST_LEVELS = 4  # of maps that the decoder sees (paper, 3.2: those of the four stages)


class Densify(nn.Module):
    """Fill what is masked of a stage's map, and give it the decoder's width (3.2)."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(features)
        self.mask_token = nn.Parameter(torch.zeros(1, features, 1, 1))
        self.project = nn.Conv2d(features, width, kernel_size=1)
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(self, features: Tensor, hidden: Tensor) -> Tensor:
        """(N, D, h, w), where it is masked (N, h, w) bool -> (N, width, h, w)."""
        x = self.norm(features)
        x = torch.where(hidden.unsqueeze(1), self.mask_token.to(x.dtype), x)
        found: Tensor = self.project(x)
        return found


class Upsample(nn.Sequential):
    """Twice the resolution with half the channels.

    The paper's has batch norms. Norms over channels in their place leave an image's prediction to
    the image alone, so that a batch may be spread over steps and devices.
    """

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(width, width, kernel_size=4, stride=2, padding=1),
            nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(width),
            nn.ReLU6(inplace=True),
            nn.Conv2d(width, width // 2, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(width // 2),
        )


class HierarchicalDecoder(nn.Module):
    """From the coarsest map to pixels, taking in each finer one on the way, as a U-Net does.

    Args:
        features: channels of the maps, the coarsest first; each has twice the resolution of the
            one before.
        width: channels at the coarsest; each resolution has half of those of the one before.
        stride: pixels that a place of the finest map stands for.
        in_chans: channels of the images.
    """

    def __init__(self, features: Sequence[int], width: int, stride: int, in_chans: int) -> None:
        super().__init__()
        self.densify = nn.ModuleList(
            Densify(channels, width >> level) for level, channels in enumerate(features)
        )
        doublings = len(features) - 1
        while stride % 2 == 0:
            doublings, stride = doublings + 1, stride // 2
        self.upsample = nn.ModuleList(Upsample(width >> level) for level in range(doublings))
        self.pred = nn.Conv2d(width >> doublings, in_chans * stride**2, kernel_size=1)
        self.stride = stride  # that no doubling makes 1
        init_convolutions(self)

    def forward(self, maps: Sequence[Tensor], hidden: Sequence[Tensor]) -> Tensor:
        """Maps, the coarsest first, and where each is masked -> images (N, C, H, W)."""
        x = self.densify[0](maps[0], hidden[0])
        for level, upsample in enumerate(self.upsample, start=1):
            x = upsample(x)
            if level < len(maps):
                x = x + self.densify[level](maps[level], hidden[level])
        return F.pixel_shuffle(self.pred(x), self.stride)


@register_method("spark")
class SparK(MaskedConv):
    """See :class:`MaskedConv`; the decoder sees a map of each resolution, four at most.

    Args:
        encoder: a ResNet, ConvNeXt or ConvNeXt V2 of timm.
        mask_ratio: share of masked patches, 0 to below 1 (paper, 4.1: 0.6).
        norm_pix_loss: predict pixels normalised by each patch's mean and deviation (3.3).
        decoder_width: the decoder's channels at the last stride, halved with each doubling of the
            resolution up to that of pixels.

    Raises:
        UserError: as :class:`MaskedConv`, and for a width that cannot be halved so often.
    """

    sizes = ("decoder_width",)
    decoder: HierarchicalDecoder

    def __init__(
        self,
        encoder: Encoder,
        mask_ratio: float = 0.6,
        norm_pix_loss: bool = True,
        decoder_width: int = 512,
    ) -> None:
        super().__init__(encoder, mask_ratio, norm_pix_loss)
        check_counts({"decoder_width": decoder_width})
        self.layers = resolutions(encoder.strides)
        if decoder_width % self.patch_size or decoder_width < LEAST_WIDTH * self.patch_size:
            raise UserError(
                f"decoder_width={decoder_width}: it is halved with each doubling of the "
                f"resolution: expected a multiple of {self.patch_size}, the encoder's last stride, "
                f"from {LEAST_WIDTH * self.patch_size} on"
            )
        features = [encoder.widths[layer] for layer in self.layers]
        finest = encoder.strides[self.layers[-1]]
        self.decoder = HierarchicalDecoder(
            features, decoder_width, finest, encoder.config["in_chans"]
        )
        self.config["decoder_width"] = decoder_width

    def predict(self, images: Tensor, visible: Tensor) -> Tensor:
        """See :meth:`MaskedUnits.predict`."""
        seen = Visible(visible)
        with masked(self.encoder, seen):
            maps = self.encoder.feature_maps(seen.only(images), self.layers[::-1])[::-1]
        hidden = [seen.hidden(*one.shape[2:]) for one in maps]
        return patchify(self.decoder(maps, hidden), self.patch_size)


def resolutions(strides: Sequence[int]) -> list[int]:
    """The last layer of each stride, the coarsest first, :data:`MOST_LEVELS` at most.

    One of an odd stride is left out: nothing would spread it to masked places after it came in.
    """
    last = {stride: layer for layer, stride in enumerate(strides) if stride % 2 == 0}
    return [last[stride] for stride in sorted(last, reverse=True)][:MOST_LEVELS]
