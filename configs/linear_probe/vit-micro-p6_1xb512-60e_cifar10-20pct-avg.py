# As the one of `p4`, with the demo's encoder and its 30 pixels.
_base_ = "vit-micro-p4_1xb512-60e_cifar10-20pct-avg.py"
encoder = dict(patch_size=6, img_size=30)
train_data = dict(transform=dict(input_size=30))
val_data = dict(transform=dict(input_size=30))
