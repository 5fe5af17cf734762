# ViTDet's Mask R-CNN: one box head.
_base_ = "vitdet.py"
model = dict(
    type="MaskRCNN",
    roi_head=dict(
        type="StandardRoIHead",
        bbox_head=dict(
            type="Shared4Conv1FCBBoxHead",
            in_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            norm_cfg=dict(type="LN2d"),
            bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type="CrossEntropyLoss"),
            loss_bbox=dict(type="L1Loss"),
        ),
    ),
)
