# The same without depth.
_base_ = "vit-micro-p6_1xb128-coslr-20e_rgbd.py"
encoder = dict(in_chans=3)
pixels = dict(mean=[50.7, 50.7, 50.7], std=[50.6, 50.6, 50.6])
train_dataloader = dict(dataset=dict(bands=[0, 1, 2], in_chans=3))
preview = dict(bands=[0, 1, 2], in_chans=3)
