# ViT-H/14 on ImageNet-1k for 800 epochs, the paper's recipe. Not run here.
#   mae-bench pretrain pretrain/vit-huge-p14_8xb512-amp-coslr-800e_in1k --devices 8
# Paper: 34.5 hours on 128 TPU-v3 cores (Table 2).
_base_ = "../_base_/pretrain_in1k_huge.py"
train_cfg = dict(max_epochs=800)
