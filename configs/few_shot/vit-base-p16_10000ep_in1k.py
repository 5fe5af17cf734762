# 10,000 episodes of ImageNet-1k's val images for each setting, of classes that a pretraining on it
# has seen. Any other images with labels will do in their place, best of classes held out from the
# pretraining: `novel_classes`. Train images only serve `standardize` and `layer="best"`.
#   mae-bench few-shot few_shot/vit-base-p16_10000ep_in1k --encoder ENCODER
stage = "few-shot"
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
    per_class=10,
    transform=dict(input_size=224, crop_pct=0.875, interpolation="bicubic"),
)
val_data = dict(
    data="data/imagenet/val",
    transform=dict(input_size=224, crop_pct=0.875, interpolation="bicubic"),
)
episodes = 10_000
queries = 15
settings = [(5, 1), (5, 5), (10, 1), (10, 5)]
heads = ("centroid", "logistic", "ridge")  # the first is the headline
standardize = False  # features of length 1 alone, as published
novel_classes = None  # names of val classes that the pretraining has not seen, to draw from
