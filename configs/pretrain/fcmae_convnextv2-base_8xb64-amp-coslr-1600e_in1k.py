# FCMAE of ConvNeXt V2 Base on ImageNet-1k. Not run here.
#   mae-bench pretrain pretrain/fcmae_convnextv2-base_8xb64-amp-coslr-1600e_in1k --devices 8
# Fine-tunes to 84.9 % top-1 (paper, 4).
_base_ = "../_base_/fcmae_in1k.py"
encoder = dict(arch="timm:convnextv2_base")
train_dataloader = dict(batch_size=64)  # of 4096, the others one after the other
