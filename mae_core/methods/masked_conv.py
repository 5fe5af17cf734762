"""What the masked pretrainings of ConvNets share: masks of the last stride, masked features."""

from torch import nn

from mae_core.encoders.base import Encoder
from mae_core.errors import UserError
from mae_core.methods.masked_layers import check_layers
from mae_core.methods.masked_units import MaskedUnits


class MaskedConv(MaskedUnits):
    """A ConvNet of timm on visible patches, a decoder, loss on the pixels of the masked ones.

    Patches are as large as the encoder's last stride. Its layers see visible places only
    (:mod:`mae_core.methods.masked_layers`).

    Args:
        encoder: a ResNet, ConvNeXt or ConvNeXt V2 of timm.
        mask_ratio: share of masked patches, 0 to below 1. With 0 the loss is over all patches.
        norm_pix_loss: predict pixels normalised by each patch's mean and deviation.

    Raises:
        UserError: as :class:`MaskedUnits`, and if the encoder has layers that cannot be masked.
    """

    def __init__(self, encoder: Encoder, mask_ratio: float, norm_pix_loss: bool) -> None:
        who = f"the method {self.name}"
        if encoder.family != "timm":
            raise UserError(
                f"{who} is for ConvNets: take an encoder.arch such as timm:convnextv2_atto or "
                f"timm:resnet50, in place of one of the family '{encoder.family}'"
            )
        check_layers(encoder.get_submodule("model"), who)
        stride = encoder.strides[-1]
        super().__init__(encoder, stride, stride, mask_ratio, norm_pix_loss)


def init_convolutions(decoder: nn.Module) -> None:
    """Normal weights of deviation 0.02, cut off, and no biases, as ConvNeXt begins."""
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
