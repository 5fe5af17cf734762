# Mask R-CNN with slim heads on microscopy images of nuclei, at 512 pixels, 2 CPU cores. Windows are
# as wide as the images of the pretraining, whose positions repeat in each: crops of the training
# and whole images of the test have the same. Strides follow from the patch of 8: 4, 8, 16 pixels.
_base_ = ["../_base_/nuclei.py", "../_base_/mask_rcnn_small.py"]
train_data = dict(images="train", annotations="instances_train.json")
val_data = dict(images="val", annotations="instances_val.json")
image = dict(size=512, jitter=(0.7, 1.5), crop=256, flip=0.5)
max_detections = 400  # of an image that count; COCO's are 100, fewer than there are here
encoder = dict(drop_path=0.1)
proposals = dict(nms_pre=1000, max_per_img=512)
model = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    backbone=dict(layers=[5], window=12, global_blocks=[2, 5], tile_positions=True),
    rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[4, 8], finest_scale=40),
        mask_roi_extractor=dict(featmap_strides=[4, 8], finest_scale=40),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=proposals,
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=proposals),
)
train_dataloader = dict(batch_size=4, drop_last=True)
test_loader = dict(batch_size=1)
train_cfg = dict(max_epochs=6)
schedule = dict(warmup_epochs=1)
default_hooks = dict(checkpoint=dict(interval=2))
