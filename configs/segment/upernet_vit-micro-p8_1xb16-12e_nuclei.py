# UperNet with slim heads on microscopy images of nuclei, near their own resolution, 2 CPU cores.
_base_ = ["../_base_/nuclei.py", "../_base_/upernet_small.py"]
train_data = dict(images="train", masks="train_masks", annotations="instances_train.json")
val_data = dict(images="val", masks="val_masks")
image = dict(scale=(1388, 256), jitter=(0.5, 2.0), crop=96, flip=0.5, photometric=True)
model = dict(
    backbone=dict(layers=[1, 2, 3, 5]),
    neck=dict(type="Feature2Pyramid", rescales=[4, 2, 1, 0.5], norm_cfg=dict(type="BN")),
    decode_head=dict(in_index=[0, 1, 2, 3], pool_scales=(1, 2, 3)),
    test_cfg=dict(crop_size=(96, 96), stride=(64, 64)),
)
train_dataloader = dict(batch_size=16, drop_last=True)
test_loader = dict(batch_size=1)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=12)
schedule = dict(warmup_epochs=1)
default_hooks = dict(checkpoint=dict(interval=3))
