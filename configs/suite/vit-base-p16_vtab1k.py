# The data sets of VTAB-1k (Zhai et al. 2019, arXiv 1910.04867): 19 in three groups, 1,000 examples
# each; VTAB's sets, our draw, frozen. So its numbers are not VTAB-1k's: the examples are a seeded
# draw, where VTAB's are the first 800 of train and 200 of val, and the encoder is frozen, where the
# paper fine-tunes it. Images are resized to a square as by its code (`preprocess_fn` of
# task_adaptation: bilinear, whatever the sides).
# Each data set lies in data/vtab/<name>/{train,test}, class folders or any other source.
#   mae-bench suite suite/vit-base-p16_vtab1k --encoder ENCODER
stage = "suite"
seed = 0
threads = 8  # of each process, see docs/training.md
encoder = dict(arch="vit-base-p16", img_size=224, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
pool = "avg"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
batch_size = 256
num_workers = 10
examples = (800, 200)  # learnt, and held out to choose the penalty
_groups = dict(
    natural=("caltech101", "cifar100", "dtd", "flowers102", "pets", "svhn", "sun397"),
    specialized=("patch_camelyon", "eurosat", "resisc45", "retinopathy"),
    structured=(
        "clevr_count",
        "clevr_distance",
        "dmlab",
        "kitti_distance",
        "dsprites_location",
        "dsprites_orientation",
        "smallnorb_azimuth",
        "smallnorb_elevation",
    ),
)
_transform = dict(input_size=224, crop_mode="squash", crop_pct=1.0, interpolation="bilinear")
datasets = [
    dict(
        name=_name,
        group=_group,
        train_data=dict(data=f"data/vtab/{_name}/train", transform=_transform),
        val_data=dict(data=f"data/vtab/{_name}/test", transform=_transform),
    )
    for _group, _names in _groups.items()
    for _name in _names
]
