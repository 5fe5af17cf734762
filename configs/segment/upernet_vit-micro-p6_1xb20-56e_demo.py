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
background_weight = 0.3  # in the loss, where classes have 1

crop = (30, 30)
channels = 48
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", bgr_to_rgb=True, size=crop, seg_pad_val=255),
    backbone=dict(type="MAEViT", layers=[5]),
    neck=dict(
        type="SimpleFeaturePyramid", in_channels=96, out_channels=channels, scales=[2, 1, 0.5]
    ),
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
load = dict(type="LoadImageFromFile")
annotations = dict(type="LoadAnnotations")
resize = dict(type="Resize", scale=(96, 96), keep_ratio=True)
pack = dict(type="PackSegInputs")
train_dataloader = dict(
    batch_size=20,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="BaseSegDataset",
        pipeline=[
            load,
            annotations,
            resize,
            dict(type="RandomCrop", crop_size=crop, cat_max_ratio=0.75),
            dict(type="RandomFlip", prob=0.5),
            pack,
        ],
    ),
)
test_dataloader = dict(
    batch_size=30,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="BaseSegDataset", pipeline=[load, resize, annotations, pack]),
)
test_cfg = dict()
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
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
