# ViT-L/16, 50 epochs: 75.8 % top-1 after 1600 epochs of pretraining (paper, Table 12).
#   mae-bench linear-probe CONFIG --encoder ENCODER
_base_ = "../_base_/linear_probe_in1k.py"
encoder = dict(arch="vit-large-p16")
train_cfg = dict(max_epochs=50)
