# UperNet with ViT-L on ADE20K. Published, pretrained by MAE on ImageNet-1k:
# 53.6 mIoU (paper, Table 5).
_base_ = ["../_base_/upernet.py", "../_base_/ade20k.py"]
encoder = dict(arch="vit-large-p16", drop_path=0.2)
model = dict(backbone=dict(layers=[7, 11, 15, 23]), decode_head=dict(channels=1024))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.75))
