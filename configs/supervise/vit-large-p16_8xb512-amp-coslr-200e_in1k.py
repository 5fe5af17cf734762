# ViT-L/16 from scratch, 200 epochs: 82.6 % top-1 (paper, A.2).
#   mae-bench supervise supervise/vit-large-p16_8xb512-amp-coslr-200e_in1k
_base_ = "../_base_/supervise_in1k.py"
encoder = dict(arch="vit-large-p16", drop_path=0.2)
train_cfg = dict(max_epochs=200)
