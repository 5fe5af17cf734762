# UperNet with ViT-B on ADE20K. Published for this recipe, pretrained by MAE on ImageNet-1k:
# 48.13 mIoU (mmsegmentation's configs/mae); the paper's 48.1 (Table 5) has another one, see
# upernet_vit-base-p16_8xb2-amp-100e_ade20k.
_base_ = ["../_base_/upernet_160k.py", "../_base_/ade20k.py"]
encoder = dict(arch="vit-base-p16", drop_path=0.1)
model = dict(backbone=dict(layers=[3, 5, 7, 11]), decode_head=dict(channels=768))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.65))
