# The short schedule: 12 epochs ("1x") with a milder jitter.
_base_ = "mask-rcnn_vit-base-p16_8xb8-amp-lsj-100e_coco.py"
image = dict(jitter=(0.8, 1.25))
train_cfg = dict(max_epochs=12)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type="MultiStepLR", by_epoch=True, milestones=[8, 11], gamma=0.1),
]
scratch = dict(
    train_cfg=dict(max_epochs=48),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
        dict(type="MultiStepLR", by_epoch=True, milestones=[32, 44], gamma=0.1),
    ],
)
