# Mask R-CNN with slim heads on the composed scenes of 60×60 pixels, 2 CPU cores. Strides follow
# from the patch of 6: 3, 6 and 12 pixels.
_base_ = ["../_base_/demo.py", "../_base_/mask_rcnn_small.py"]
data_root = "demo/scenes"
train_data = dict(images="train", annotations="instances_train.json")
val_data = dict(images="test", annotations="instances_test.json")  # chosen on val
image = dict(size=60, jitter=None, crop=None, flip=0.5)
max_detections = 30  # of an image
encoder = dict(drop_path=0.1)
proposals = dict(nms_pre=200, max_per_img=64)
model = dict(
    data_preprocessor=dict(pad_size_divisor=12),
    backbone=dict(layers=[5]),
    rpn_head=dict(anchor_generator=dict(strides=[3, 6, 12])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[3, 6], finest_scale=28),
        mask_roi_extractor=dict(featmap_strides=[3, 6], finest_scale=28),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=proposals,
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=proposals),
)
train_dataloader = dict(batch_size=4)
test_loader = dict(batch_size=20)
train_cfg = dict(max_epochs=2)
schedule = dict(warmup_epochs=0.2)
