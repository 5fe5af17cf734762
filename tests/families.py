"""The families of models that every stage is tested with: a small one of each, by timm's name."""

from typing import Any

import torch
from torch import nn

# Name of the family -> (timm's name of a model, the other fields of `TimmEncoder`).
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain ViT": ("vit_tiny_patch16_224", {"img_size": 64}),
    "DINOv2, LayerScale and registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 56}),
    "DINOv3, rotary positions": ("vit_tiny_patch16_dinov3_qkvb", {"img_size": 64}),
    "EVA-02": ("eva02_tiny_patch14_224", {"img_size": 56}),
    "CLIP, norm before the blocks": ("vit_xsmall_patch16_clip_224", {"img_size": 64}),
    # The head of SigLIP in a model of a hundredth of the size.
    "SigLIP, attention pooling": ("test_vit3", {"img_size": 64}),
    "Swin": ("swin_tiny_patch4_window7_224", {"img_size": 64}),
    "Swin V2": ("swinv2_tiny_window8_256", {"img_size": 64}),
    "Hiera": ("hiera_tiny_224", {"img_size": 64}),
    "ConvNeXt V2": ("convnextv2_atto", {"img_size": 64}),
    "ResNet": ("resnet10t", {"img_size": 64}),
    "RegNet": ("regnety_002", {"img_size": 64}),
    "EfficientNet": ("tf_efficientnet_lite0", {"img_size": 64}),
    "MobileNetV4": ("mobilenetv4_conv_small_035", {"img_size": 64}),
    "MaxViT": ("maxvit_pico_rw_256", {"img_size": 64}),
    "CoAtNet": ("coatnet_pico_rw_224", {"img_size": 64}),
    "MLP-Mixer": ("mixer_s16_224", {"img_size": 64}),
}


def spoil(model: nn.Module) -> None:
    """Change what begins as 0 or 1, such as scales of layers and statistics of batches."""
    generator = torch.Generator().manual_seed(0)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value += 0.02 * torch.randn(value.shape, generator=generator)
        else:
            value += 3


SMALL_HIERA = {  # of hiera_tiny_224: strides 1 to 8, mask units of 8 pixels
    "embed_dim": 8,
    "stages": [1, 1, 2, 1],
    "patch_kernel": [3, 3],
    "patch_stride": [1, 1],
    "patch_padding": [1, 1],
}
