# UperNet with ViT-L on COCO-Stuff 164k.
_base_ = ["../_base_/upernet_160k.py", "../_base_/coco_stuff164k.py"]
encoder = dict(arch="vit-large-p16", drop_path=0.2)
model = dict(backbone=dict(layers=[7, 11, 15, 23]), decode_head=dict(channels=1024))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.75))
