# ViT-H/14 on ImageNet-1k for 400 epochs, the paper's recipe. Not run here.
#   mae-bench pretrain pretrain/vit-huge-p14_8xb512-amp-coslr-400e_in1k --devices 8
_base_ = "../_base_/pretrain_in1k_huge.py"
train_cfg = dict(max_epochs=400)
