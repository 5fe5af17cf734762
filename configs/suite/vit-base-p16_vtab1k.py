# VTAB-1k (Zhai et al. 2019, arXiv 1910.04867): 19 data sets in three groups, 1,000 examples each.
# What differs: the encoder is frozen, where the paper fine-tunes it; images are cropped square.
# Each data set lies in data/vtab/<name>/{train,test}, class folders or any other source.
#   mae-bench suite suite/vit-base-p16_vtab1k --encoder ENCODER
stage = "suite"
seed = 0
threads = 8  # of each process, see docs/training.md
encoder = dict(arch="vit-base-p16", img_size=224, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
pool = "avg"
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
_transform = dict(input_size=224, crop_pct=1.0, interpolation="bicubic")
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
