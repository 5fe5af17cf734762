# UperNet with ViT-B on COCO-Stuff 164k.
_base_ = ["../_base_/upernet_160k.py", "../_base_/coco_stuff164k.py"]
encoder = dict(arch="vit-base-p16", drop_path=0.1)
model = dict(backbone=dict(layers=[3, 5, 7, 11]), decode_head=dict(channels=768))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.65))
