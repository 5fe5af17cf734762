# UperNet with ViT-B on ADE20K. Published, pretrained by MAE on ImageNet-1k:
# 48.1 mIoU (paper, Table 5).
_base_ = ["../_base_/upernet.py", "../_base_/ade20k.py"]
encoder = dict(arch="vit-base-p16", drop_path=0.1)
model = dict(backbone=dict(layers=[3, 5, 7, 11]), decode_head=dict(channels=768))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.65))
