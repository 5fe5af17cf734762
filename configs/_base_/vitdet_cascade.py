# ViTDet with Cascade Mask R-CNN (Cai and Vasconcelos 2018, arXiv 1712.00726): three box heads, each
# for boxes that overlap more, and one mask head. As in detectron2's CascadeROIHeads the losses of
# all heads count alike, and the second and third take all boxes that the one before was given.
_base_ = "vitdet.py"
deviations = [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
sampled = dict(
    type="RandomSampler", num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True
)
everything = dict(type="PseudoSampler")
model = dict(
    type="CascadeRCNN",
    roi_head=dict(
        type="OneMaskCascadeRoIHead",
        num_stages=3,
        stage_loss_weights=[1, 1, 1],
        bbox_head=[
            dict(
                type="Shared4Conv1FCBBoxHead",
                in_channels=256,
                fc_out_channels=1024,
                roi_feat_size=7,
                norm_cfg=dict(type="LN2d"),
                reg_class_agnostic=True,
                bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_stds=stds),
                loss_cls=dict(type="CrossEntropyLoss"),
                loss_bbox=dict(type="L1Loss"),
            )
            for stds in deviations
        ],
    ),
    train_cfg=dict(
        rcnn=[
            dict(
                assigner=dict(
                    type="MaxIoUAssigner",
                    pos_iou_thr=overlap,
                    neg_iou_thr=overlap,
                    min_pos_iou=overlap,
                    match_low_quality=False,
                    ignore_iof_thr=-1,
                ),
                sampler=sampler,
                mask_size=28,
                pos_weight=-1,
            )
            for overlap, sampler in ((0.5, sampled), (0.6, everything), (0.7, everything))
        ]
    ),
)
