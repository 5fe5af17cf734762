# ViT-B/16 on ImageNet-1k for 1600 epochs, the paper's recipe. Not run here.
#   mae-bench pretrain pretrain/vit-base-p16_8xb512-amp-coslr-1600e_in1k --devices 8
# Fine-tunes to 83.6 % top-1 (paper, Table 3).
_base_ = "../_base_/pretrain_in1k.py"
encoder = dict(arch="vit-base-p16")
train_cfg = dict(max_epochs=1600)
