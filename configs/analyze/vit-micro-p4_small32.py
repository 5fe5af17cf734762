# Figures and ranks of an encoder of 32×32 images, such as CIFAR-10's, beside random weights.
#   mae-bench analyze analyze/vit-micro-p4_small32 --encoder ENCODER
stage = "analyze"
seed = 0
encoder = dict(arch="vit-micro-p6", patch_size=4, img_size=32, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # as in pretraining
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
pool = "avg"
batch_size = 500
num_workers = 0
val_data = dict(data="data/val", transform=dict(input_size=32, crop_pct=1.0))
reference = "random"  # or a path
