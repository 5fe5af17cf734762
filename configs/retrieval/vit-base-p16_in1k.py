# ImageNet-1k's 50,000 val images among the 1,281,167 train images, which the GPU holds (4 GB).
#   mae-bench retrieval retrieval/vit-base-p16_in1k --encoder ENCODER
stage = "retrieval"
seed = 0
threads = 8  # of each process, see docs/training.md
encoder = dict(arch="vit-base-p16", img_size=224, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
pool = "avg"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
held_out = None  # share of the train images that chooses with layer="best", such as 0.1
batch_size = 256
num_workers = 10
train_data = dict(
    data="data/imagenet/train",
    transform=dict(input_size=224, crop_pct=0.875, interpolation="bicubic"),
)
val_data = dict(
    data="data/imagenet/val",
    transform=dict(input_size=224, crop_pct=0.875, interpolation="bicubic"),
)
gallery = "train"  # what is searched; "val": the val images, but for the query and its group
ks = (1, 5, 10)  # of recall
standardize = False  # features of length 1 alone, as is usual
