# ViT-H/14 on ImageNet-1k for 1600 epochs, the paper's recipe. Not run here.
#   mae-bench pretrain pretrain/vit-huge-p14_8xb512-amp-coslr-1600e_in1k --devices 8
# Fine-tunes to 86.9 % top-1 (paper, Table 3).
_base_ = "../_base_/pretrain_in1k_huge.py"
train_cfg = dict(max_epochs=1600)
