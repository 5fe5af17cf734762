# Mask R-CNN with slim heads on microscopy images of nuclei, at 512 pixels, 2 CPU cores.
# ViTDet's shape (arXiv 2203.16527): windows of 12, as wide as the images of the pretraining, two
# global blocks, all scales from the last map. Strides follow from the patch of 8: 4, 8, 16 pixels.
_base_ = ["../_base_/nuclei.py", "../_base_/runtime.py"]
stage = "detect"
default_scope = "mmdet"
train_data = dict(images="train", annotations="instances_train.json")
val_data = dict(images="val", annotations="instances_val.json")
image = dict(size=512, jitter=(0.7, 1.5), crop=256, flip=0.5)
max_detections = 400  # of an image that count; COCO's are 100, fewer than there are here
encoder = dict(drop_path=0.1)

channels = 64
proposals = dict(nms_pre=1000, max_per_img=512, nms=dict(type="nms", iou_threshold=0.7), min_bbox_size=0)
model = dict(
    type="MaskRCNN",
    data_preprocessor=dict(
        type="DetDataPreprocessor", bgr_to_rgb=True, pad_mask=True, pad_size_divisor=16
    ),
    backbone=dict(type="MAEViT", layers=[5], window=12, global_blocks=[2, 5]),
    neck=dict(
        type="SimpleFeaturePyramid", in_channels=128, out_channels=channels, scales=[2, 1, 0.5]
    ),
    rpn_head=dict(
        type="RPNHead",
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(
            type="AnchorGenerator", scales=[4], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16]
        ),
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
            featmap_strides=[4, 8],
            finest_scale=40,
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
            featmap_strides=[4, 8],
            finest_scale=40,
        ),
        mask_head=dict(
            type="FCNMaskHead",
            num_convs=1,
            in_channels=channels,
            conv_out_channels=channels,
            loss_mask=dict(type="CrossEntropyLoss", use_mask=True),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                min_pos_iou=0.3,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type="RandomSampler",
                num=128,
                pos_fraction=0.5,
                neg_pos_ub=-1,
                add_gt_as_proposals=False,
            ),
            allowed_border=-1,
            pos_weight=-1,
        ),
        rpn_proposal=proposals,
        rcnn=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type="RandomSampler",
                num=64,
                pos_fraction=0.25,
                neg_pos_ub=-1,
                add_gt_as_proposals=True,
            ),
            mask_size=28,
            pos_weight=-1,
        ),
    ),
    test_cfg=dict(
        rpn=proposals,
        rcnn=dict(score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), mask_thr_binary=0.5),
    ),
)
train_dataloader = dict(
    batch_size=4, num_workers=0, drop_last=True, sampler=dict(type="DefaultSampler", shuffle=True)
)
test_loader = dict(batch_size=1, num_workers=0)
optim_wrapper = dict(
    type="FiniteOptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=0.8),
    clip_grad=dict(max_norm=5.0),
)
train_cfg = dict(by_epoch=True, max_epochs=16)
schedule = dict(warmup_epochs=1)
default_hooks = dict(checkpoint=dict(interval=2))
