# UperNet with slim heads on the composed scenes of 96×96 pixels, 2 CPU cores.
# As in the MAE paper (arXiv 2111.06377, A.4): maps after four blocks, resampled to a pyramid.
_base_ = ["../_base_/demo.py", "../_base_/runtime.py"]
stage = "segment"
default_scope = "mmseg"
data_root = "demo/scenes"
encoder = dict(drop_path=0.1)

channels = 64
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor", bgr_to_rgb=True, size=(96, 96), seg_pad_val=255
    ),
    backbone=dict(type="MAEViT", layers=[1, 2, 3, 5]),
    neck=dict(type="Feature2Pyramid", embed_dim=128, rescales=[2, 1, 0.5, 0.25]),
    decode_head=dict(
        type="UPerHead",
        in_channels=[128] * 4,
        in_index=[0, 1, 2, 3],
        channels=channels,
        pool_scales=(1, 2, 4),
        dropout_ratio=0.1,
        norm_cfg=dict(type="BN"),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss"),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
load = dict(type="LoadImageFromFile")
annotations = dict(type="LoadAnnotations")
resize = dict(type="Resize", scale=(96, 96), keep_ratio=True)
pack = dict(type="PackSegInputs")
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="BaseSegDataset",
        pipeline=[load, annotations, resize, dict(type="RandomFlip", prob=0.5), pack],
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="BaseSegDataset", pipeline=[load, resize, annotations, pack]),
)
test_cfg = dict()
test_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=2e-3, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay=0.8),
    clip_grad=dict(max_norm=5.0),
)
train_cfg = dict(by_epoch=True, max_epochs=6)
schedule = dict(warmup_epochs=0.5)
