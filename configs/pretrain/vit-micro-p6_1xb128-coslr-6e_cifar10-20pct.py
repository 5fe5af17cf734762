# MAE on a fifth of CIFAR-10's train images with the demo's encoder and its 30 pixels.
_base_ = "vit-micro-p4_1xb128-coslr-20e_cifar10-20pct.py"
encoder = dict(patch_size=6, img_size=30)
train_dataloader = dict(dataset=dict(transform=dict(input_size=30)))
preview = dict(transform=dict(input_size=30))
train_cfg = dict(max_epochs=6)
