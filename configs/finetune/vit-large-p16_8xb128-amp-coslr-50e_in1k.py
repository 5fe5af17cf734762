# ViT-L/16, 50 epochs, by facebookresearch/mae's FINETUNE.md: there 85.87 ± 0.07 % top-1 (mean and
# deviation of 4 seeds) after pretraining for 1600 epochs.
#   mae-bench finetune finetune/vit-large-p16_8xb128-amp-coslr-50e_in1k --encoder ENCODER
_base_ = "../_base_/finetune_in1k.py"
encoder = dict(arch="vit-large-p16", drop_path=0.2)
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay=0.75))
train_cfg = dict(max_epochs=50)
scratch = dict(encoder=dict(drop_path=0.2), train_cfg=dict(max_epochs=200))
