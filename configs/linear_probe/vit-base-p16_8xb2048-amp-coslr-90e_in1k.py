# ViT-B/16, 90 epochs (paper, Table 10, and facebookresearch/mae's FINETUNE.md): 68.0 % top-1 after
# 1600 epochs of pretraining in the paper (Table 12), 67.8 % in FINETUNE.md.
#   mae-bench linear-probe CONFIG --encoder ENCODER
_base_ = "../_base_/linear_probe_in1k.py"
encoder = dict(arch="vit-base-p16")
train_cfg = dict(max_epochs=90)
