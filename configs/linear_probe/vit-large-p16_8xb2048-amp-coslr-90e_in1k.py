# ViT-L/16, 90 epochs, by the paper's Table 10: there 75.8 % top-1 after 1600 epochs of pretraining
# (Table 12).
#   mae-bench linear-probe CONFIG --encoder ENCODER
_base_ = "vit-large-p16_8xb2048-amp-coslr-50e_in1k.py"
train_cfg = dict(max_epochs=90)
