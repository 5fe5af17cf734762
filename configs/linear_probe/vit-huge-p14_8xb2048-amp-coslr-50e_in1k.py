# ViT-H/14, 50 epochs, by facebookresearch/mae's FINETUNE.md: there 77.2 % top-1 after 1600 epochs
# of pretraining. The paper has 90 epochs (Table 10).
#   mae-bench linear-probe CONFIG --encoder ENCODER
_base_ = "../_base_/linear_probe_in1k.py"
encoder = dict(arch="vit-huge-p14")
train_cfg = dict(max_epochs=50)
