# ViT-L/16 on ImageNet-1k for 1600 epochs, the paper's recipe. Not run here.
#   mae-bench pretrain pretrain/vit-large-p16_8xb512-amp-coslr-1600e_in1k --devices 8
# Paper: 31 hours on 128 TPU-v3 cores (4.2); fine-tunes to 85.9 % top-1 (Table 3).
_base_ = "../_base_/pretrain_in1k.py"
encoder = dict(arch="vit-large-p16")
train_cfg = dict(max_epochs=1600)
