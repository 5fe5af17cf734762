# ViT-L/16 on ImageNet-1k for 800 epochs, the paper's recipe. Not run here.
#   mae-bench pretrain pretrain/vit-large-p16_8xb512-amp-coslr-800e_in1k --devices 8
# facebookresearch/mae: about 42 hours on 64 V100; fine-tunes to 85.5 % top-1.
_base_ = "../_base_/pretrain_in1k.py"
encoder = dict(arch="vit-large-p16")
train_cfg = dict(max_epochs=800)
