# The published 1 % and 10 % of ImageNet-1k's labels: SimCLR's lists (Chen et al. 2020, arXiv
# 2002.05709), 12,811 and 128,116 file names. Download imagenet_subsets/1percent.txt and
# 10percent.txt of github.com/google-research/simclr; MSN's lists of 1, 2 and 5 images a class
# (github.com/facebookresearch/msn, imagenet_subsets1 to 3) have the same form.
#   mae-bench low-shot low_shot/vit-base-p16_in1k-lists --encoder ENCODER
_base_ = "../low_shot/vit-base-p16_in1k.py"
sets = [
    dict(name="1pct-simclr", names_in="data/imagenet_subsets/1percent.txt", epochs=200),
    dict(name="10pct-simclr", names_in="data/imagenet_subsets/10percent.txt", epochs=100),
]
