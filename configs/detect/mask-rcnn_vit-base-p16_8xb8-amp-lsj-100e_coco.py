# ViTDet with ViT-B. Published, pretrained by MAE: 51.6 box AP, 45.9 mask AP
# (detectron2's ViTDet page; of its own training code).
_base_ = "../_base_/vitdet_mask_rcnn.py"
encoder = dict(arch="vit-base-p16", drop_path=0.1)
model = dict(backbone=dict(layers=[11], global_blocks=[2, 5, 8, 11]))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.7))
