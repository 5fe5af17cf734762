# FCMAE of ConvNeXt V2 Atto on ImageNet-1k. Not run here.
#   mae-bench pretrain pretrain/fcmae_convnextv2-atto_8xb512-amp-coslr-1600e_in1k --devices 8
# Fine-tunes to 76.7 % top-1 (paper, abstract).
_base_ = "../_base_/fcmae_in1k.py"
encoder = dict(arch="timm:convnextv2_atto")
