# MAE on images of 64×64 pixels, on one GPU; encoder.img_size and both input_size make it 96×96.
#   mae-bench pretrain pretrain/vit-tiny-p8_1xb256-amp-coslr-100e_small64
# Not run here.
_base_ = "vit-tiny-p4_1xb256-amp-coslr-100e_small32.py"
encoder = dict(patch_size=8, img_size=64)
train_dataloader = dict(dataset=dict(transform=dict(input_size=64, scale=(0.3, 1.0))))
preview = dict(transform=dict(input_size=64))
