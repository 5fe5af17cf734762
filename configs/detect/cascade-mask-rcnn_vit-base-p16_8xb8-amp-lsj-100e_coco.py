# ViTDet with ViT-B. Published, pretrained by MAE: 54.0 box AP, 46.7 mask AP
# (detectron2's ViTDet page; of its own training code).
_base_ = "../_base_/vitdet_cascade.py"
encoder = dict(arch="vit-base-p16", drop_path=0.1)
model = dict(backbone=dict(layers=[11], global_blocks=[2, 5, 8, 11]))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.7))
