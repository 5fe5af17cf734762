# ViTDet with ViT-L. Published, pretrained by MAE: 55.5 box AP, 49.2 mask AP
# (detectron2's ViTDet page; of its own training code).
_base_ = "../_base_/vitdet_mask_rcnn.py"
encoder = dict(arch="vit-large-p16", drop_path=0.4)
model = dict(backbone=dict(layers=[23], global_blocks=[5, 11, 17, 23]))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.8))
activation_checkpointing = [f"backbone.encoder.blocks.{i}" for i in range(24)]
