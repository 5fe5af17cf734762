# UperNet with slim heads on microscopy images of nuclei, near their own resolution, 2 CPU cores.
_base_ = ["../_base_/nuclei.py", "../_base_/runtime.py"]
stage = "segment"
default_scope = "mmseg"
train_data = dict(images="train", masks="train_masks", annotations="instances_train.json")
val_data = dict(images="val", masks="val_masks")
classes = None  # 'background' and the annotations' categories
background_weight = None  # in the loss, where classes have 1
image = dict(scale=(1388, 256), jitter=(0.5, 2.0), crop=96, flip=0.5, photometric=True)
multiscale = None  # factors of the scale for a second test, such as [0.5, 1.0, 1.5]

crop = (96, 96)
channels = 48
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", bgr_to_rgb=True, seg_pad_val=255),
    backbone=dict(type="MAEViT", layers=[1, 2, 3, 5]),
    neck=dict(type="Feature2Pyramid", rescales=[4, 2, 1, 0.5], norm_cfg=dict(type="BN")),
    decode_head=dict(
        type="UPerHead",
        in_index=[0, 1, 2, 3],
        channels=channels,
        pool_scales=(1, 2, 3),
        dropout_ratio=0.0,
        norm_cfg=dict(type="BN"),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss"),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=crop, stride=(64, 64)),
)
train_dataloader = dict(
    batch_size=16, num_workers=0, drop_last=True, sampler=dict(type="DefaultSampler", shuffle=True)
)
test_loader = dict(batch_size=1, num_workers=0)
optim_wrapper = dict(
    type="FiniteOptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=0.8),
    clip_grad=dict(max_norm=5.0),
)
train_cfg = dict(by_epoch=True, max_epochs=12)
schedule = dict(warmup_epochs=1)
default_hooks = dict(checkpoint=dict(interval=3))
