# Frozen features of images of 32×32 pixels, as the small pretraining sees them: of train a fifth.
encoder = dict(arch="vit-micro-p6", patch_size=4, img_size=32, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # as in pretraining
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
seed = 0
pool = "avg"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
batch_size = 500
num_workers = 0
train_data = dict(data="data/train", part=(0.0, 0.2), transform=dict(input_size=32, crop_pct=1.0))
val_data = dict(data="data/val", transform=dict(input_size=32, crop_pct=1.0))
