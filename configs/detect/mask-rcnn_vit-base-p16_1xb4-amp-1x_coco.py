# One GPU: 4 images at once, the rate scaled to them, blocks that forget what they computed.
_base_ = "mask-rcnn_vit-base-p16_8xb8-amp-1x_coco.py"
activation_checkpointing = [f"backbone.encoder.blocks.{i}" for i in range(12)]
train_dataloader = dict(batch_size=4)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=2000),
    dict(type="MultiStepLR", by_epoch=True, milestones=[8, 11], gamma=0.1),
]
scratch = dict(
    train_cfg=dict(max_epochs=48),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=2000),
        dict(type="MultiStepLR", by_epoch=True, milestones=[32, 44], gamma=0.1),
    ],
)
