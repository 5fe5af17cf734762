# UperNet with slim heads on the composed scenes of 96×96 pixels, 2 CPU cores.
# Differs from the MAE paper's recipe (arXiv 2111.06377, A.4) in the pyramid, which comes from the
# last map as in the detection config, and in training on crops of the size that pretraining saw,
# with full scenes looked at through overlapping windows of that size: at three times the size, the
# short schedule would go into relearning what a patch's position means. The windows' stride is no
# multiple of the patch, so that they cut each garment into patches in different ways.
_base_ = ["../_base_/demo.py", "../_base_/runtime.py"]
stage = "segment"
default_scope = "mmseg"
data_root = "demo/scenes"
train_data = dict(images="train", masks="train_masks", annotations="instances_train.json")
val_data = dict(images="val", masks="val_masks")
classes = None  # 'background' and the annotations' categories
background_weight = 0.3  # in the loss, where classes have 1
image = dict(scale=(96, 96), jitter=None, crop=30, flip=0.5, photometric=False)
multiscale = None  # factors of the scale for a second test, such as [0.5, 1.0, 1.5]

crop = (30, 30)
channels = 48
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", bgr_to_rgb=True, seg_pad_val=255),
    backbone=dict(type="MAEViT", layers=[5]),
    neck=dict(type="SimpleFeaturePyramid", out_channels=channels, scales=[2, 1, 0.5]),
    decode_head=dict(
        type="UPerHead",
        in_channels=[channels] * 3,
        in_index=[0, 1, 2],
        channels=channels,
        pool_scales=(1, 2),
        dropout_ratio=0.0,
        norm_cfg=dict(type="BN"),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss"),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=crop, stride=(8, 8)),
)
train_dataloader = dict(
    batch_size=20, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=True)
)
test_loader = dict(batch_size=30, num_workers=0)
optim_wrapper = dict(
    type="FiniteOptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=4e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=0.8),
    clip_grad=dict(max_norm=5.0),
)
train_cfg = dict(by_epoch=True, max_epochs=56)
schedule = dict(warmup_epochs=1.5)
default_hooks = dict(checkpoint=dict(interval=7))
