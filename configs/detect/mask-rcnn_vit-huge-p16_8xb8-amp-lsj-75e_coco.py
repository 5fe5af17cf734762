# ViTDet with ViT-H, whose patches of 14 pixels are resampled to 16. Published, pretrained by MAE:
# 56.7 box AP, 50.2 mask AP (detectron2's ViTDet page; of its own training code).
_base_ = "../_base_/vitdet_mask_rcnn.py"
encoder = dict(arch="vit-huge-p14", patch_size=16, drop_path=0.5)
resample_patches = True
model = dict(backbone=dict(layers=[31], global_blocks=[7, 15, 23, 31]))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.9))
activation_checkpointing = [f"backbone.encoder.blocks.{i}" for i in range(32)]
train_cfg = dict(max_epochs=75)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type="MultiStepLR", by_epoch=True, milestones=[67, 72], gamma=0.1),
]
scratch = dict(
    train_cfg=dict(max_epochs=300),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
        dict(type="MultiStepLR", by_epoch=True, milestones=[267, 289], gamma=0.1),
    ],
)
