# Figures of an encoder's features of ImageNet-1k's val images, beside random weights, and their
# rank. (RankMe's paper, arXiv 2210.02885, takes 25,600 train images.)
#   mae-bench analyze analyze/vit-base-p16_in1k --encoder ENCODER
stage = "analyze"
seed = 0
threads = 8  # of each process, see docs/training.md
encoder = dict(arch="vit-base-p16", img_size=224, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
batch_size = 256
num_workers = 10
reference = "random"  # or a path
val_data = dict(
    data="data/imagenet/val",
    per_class=25,
    transform=dict(input_size=224, crop_pct=0.875, interpolation="bicubic"),
)
