# ViTDet on COCO (Li et al. 2022, arXiv 2203.16527, A.2), as detectron2's projects/ViTDet trains
# it: images and windows padded, windows of 14 tokens and four global blocks, relative and trained
# absolute positions, a simple feature pyramid on the last block's output, heads with layer norm,
# AdamW with layer decay, batch 64. What differs: docs/dense.md.
_base_ = ["rcnn.py", "runtime.py", "coco.py"]
stage = "detect"
default_scope = "mmdet"
seed = 0
threads = 8  # of each process, see docs/training.md
encoder = dict(img_size=224, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
square_pad = True  # images to image.size × image.size, in training and tests
channels = 256
norm = dict(type="LN2d")
model = dict(
    data_preprocessor=dict(
        type="DetDataPreprocessor", bgr_to_rgb=True, pad_mask=True, pad_size_divisor=32
    ),
    backbone=dict(
        type="MAEViT",
        window=14,
        pad_windows=True,
        relative_grid=64,
        final_norm=False,
        train_positions=True,
    ),
    neck=dict(type="SimpleFeaturePyramid", out_channels=channels, scales=[4, 2, 1, 0.5], coarser=1),
    rpn_head=dict(
        type="RPNHead",
        in_channels=channels,
        feat_channels=channels,
        num_convs=2,
        anchor_generator=dict(
            type="AnchorGenerator",
            scales=[8],
            ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64],
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True),
        loss_bbox=dict(type="L1Loss"),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
            out_channels=channels,
            featmap_strides=[4, 8, 16, 32],
        ),
        mask_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
            out_channels=channels,
            featmap_strides=[4, 8, 16, 32],
        ),
        mask_head=dict(
            type="FCNMaskHead",
            num_convs=4,
            in_channels=channels,
            conv_out_channels=channels,
            norm_cfg=norm,
            loss_mask=dict(type="CrossEntropyLoss", use_mask=True),
        ),
    ),
    train_cfg=dict(
        rpn=dict(assigner=dict(min_pos_iou=0.0)),  # the best anchor of a box is always its own
        rcnn=dict(assigner=dict(match_low_quality=False)),
    ),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DrawSampler"),
)
test_loader = dict(batch_size=1, num_workers=4)
optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1, fused=True),
    paramwise_cfg=dict(decay_vectors=True),
)
auto_scale_lr = dict(base_batch_size=64, enable=True)
train_cfg = dict(by_epoch=True, max_epochs=100)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type="MultiStepLR", by_epoch=True, milestones=[89, 96], gamma=0.1),
]
# For random weights. ViTDet's own recipe for them, of 48.1 box AP with ViT-B (its Table 4), is not
# published (detectron2's issue 4442). This one is ours, untested at this size: one rate for all
# layers, four times the epochs.
scratch = dict(
    optim_wrapper=dict(paramwise_cfg=dict(layer_decay=1.0)),
    train_cfg=dict(max_epochs=400),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
        dict(type="MultiStepLR", by_epoch=True, milestones=[356, 385], gamma=0.1),
    ],
)
