# ViT-B/16 from scratch, 300 epochs: 82.3 % top-1 (paper, A.2).
#   mae-bench supervise supervise/vit-base-p16_8xb512-amp-coslr-300e_in1k
_base_ = "../_base_/supervise_in1k.py"
encoder = dict(arch="vit-base-p16", drop_path=0.1)
train_cfg = dict(max_epochs=300)
