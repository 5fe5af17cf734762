# Mask R-CNN with slim heads for small images, on CPUs. ViTDet's shape (arXiv 2203.16527): plain
# encoder, simple feature pyramid at 2, 1 and 1/2 of its last map.
_base_ = ["rcnn.py", "runtime.py"]
stage = "detect"
default_scope = "mmdet"
channels = 64
model = dict(
    type="MaskRCNN",
    data_preprocessor=dict(type="DetDataPreprocessor", bgr_to_rgb=True, pad_mask=True),
    backbone=dict(type="MAEViT"),
    neck=dict(type="SimpleFeaturePyramid", out_channels=channels, scales=[2, 1, 0.5]),
    rpn_head=dict(
        type="RPNHead",
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(type="AnchorGenerator", scales=[4], ratios=[0.5, 1.0, 2.0]),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True),
        loss_bbox=dict(type="L1Loss"),
    ),
    roi_head=dict(
        type="StandardRoIHead",
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=1),
            out_channels=channels,
        ),
        bbox_head=dict(
            type="Shared2FCBBoxHead",
            in_channels=channels,
            fc_out_channels=256,
            roi_feat_size=7,
            reg_class_agnostic=True,
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type="CrossEntropyLoss"),
            loss_bbox=dict(type="L1Loss"),
        ),
        mask_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=1),
            out_channels=channels,
        ),
        mask_head=dict(
            type="FCNMaskHead",
            num_convs=1,
            in_channels=channels,
            conv_out_channels=channels,
            loss_mask=dict(type="CrossEntropyLoss", use_mask=True),
        ),
    ),
)
train_dataloader = dict(num_workers=0, sampler=dict(type="DrawSampler"))
test_loader = dict(num_workers=0)
optim_wrapper = dict(
    type="FiniteOptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=0.8),
    clip_grad=dict(max_norm=5.0),
)
train_cfg = dict(by_epoch=True)
scratch = dict(optim_wrapper=dict(paramwise_cfg=dict(layer_decay=1.0)))  # for random weights
