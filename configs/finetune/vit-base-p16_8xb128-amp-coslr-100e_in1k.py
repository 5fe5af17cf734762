# ViT-B/16, 100 epochs, by facebookresearch/mae's FINETUNE.md: there 83.57 ± 0.08 % top-1 (mean and
# deviation of 4 seeds) after pretraining for 1600 epochs.
#   mae-bench finetune finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k --encoder ENCODER
_base_ = "../_base_/finetune_in1k.py"
encoder = dict(arch="vit-base-p16", drop_path=0.1)
optim_wrapper = dict(optimizer=dict(lr=5e-4), paramwise_cfg=dict(layer_decay=0.65))
train_cfg = dict(max_epochs=100)
scratch = dict(encoder=dict(drop_path=0.1), train_cfg=dict(max_epochs=300))
