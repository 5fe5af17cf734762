# ViTDet's Mask R-CNN with ViT-B on any images with COCO annotations, one GPU: the size follows from
# the images, the classes from the annotations, the epochs from the updates. Where there is no
# val_data, every fifth image is held out.
#   mae-bench detect detect/mask-rcnn_vit-base-p16_1xb4-amp-auto --encoder ENCODER \
#     -o data_root=data/mine
_base_ = ["mask-rcnn_vit-base-p16_1xb4-amp-1x_coco.py"]
data_root = "data/mine"
train_data = dict(images="images", annotations="annotations.json")
val_data = None  # or a dict like train_data
updates = 10000
image = dict(size=None, jitter=(0.5, 2.0))
train_cfg = dict(max_epochs=None)
param_scheduler = None
schedule = dict(warmup_epochs=1)
optim_wrapper = dict(clip_grad=dict(max_norm=1.0))  # small sets have odd batches; ViTDet has none
scratch = dict(
    _delete_=True,
    updates=40000,
    optim_wrapper=dict(paramwise_cfg=dict(layer_decay=1.0)),
)
