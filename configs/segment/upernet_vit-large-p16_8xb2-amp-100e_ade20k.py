# UperNet with ViT-L on ADE20K for the paper's 100 epochs (A.4). Published, pretrained by MAE on
# ImageNet-1k: 53.6 mIoU (Table 5), with a rate that was searched and is not published: search it
# (optim_wrapper.optimizer.lr), on a part of the train images.
_base_ = "upernet_vit-base-p16_8xb2-amp-100e_ade20k.py"
encoder = dict(arch="vit-large-p16", drop_path=0.2)
model = dict(backbone=dict(layers=[7, 11, 15, 23]), decode_head=dict(channels=1024))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.75))
