# ViT-H/14, 50 epochs, by facebookresearch/mae's FINETUNE.md: there 86.93 % top-1 (one training)
# after pretraining for 1600 epochs. `scratch` is the paper's Table 11.
#   mae-bench finetune finetune/vit-huge-p14_8xb128-amp-coslr-50e_in1k --encoder ENCODER
_base_ = "../_base_/finetune_in1k.py"
encoder = dict(arch="vit-huge-p14", drop_path=0.3)
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay=0.75))
train_cfg = dict(max_epochs=50)
activation_checkpointing = [f"encoder.blocks.{i}" for i in range(32)]
scratch = dict(encoder=dict(drop_path=0.2), train_cfg=dict(max_epochs=200))
