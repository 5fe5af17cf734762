# ViT-B/16 on ImageNet-1k for 800 epochs, the paper's recipe. Not run here.
#   mae-bench pretrain pretrain/vit-base-p16_8xb512-amp-coslr-800e_in1k --devices 8
_base_ = "../_base_/pretrain_in1k.py"
encoder = dict(arch="vit-base-p16")
train_cfg = dict(max_epochs=800)
