# What all stages on the example of 16-bit microscopy share, docs/examples.md: the encoder, its
# pixels, and images of which tiles of one photo stay together.
encoder = dict(arch="vit-micro-p6", patch_size=8, width=128, heads=4, img_size=96, in_chans=1)
pixels = dict(mean=[1141], std=[1427])  # as `mae-bench data stats data/microscopy --bands all`
protocol = "own"  # whose size and crop: the weights' own, or the "same", these, for all
seed = 0
pool = "avg"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
batch_size = 250
num_workers = 0
train_data = dict(
    data="data/microscopy",
    group=r"(\d+)_\d+_\d+\.tif",
    part=(0.0, 0.8),
    bands="all",
    in_chans=1,
    transform=dict(input_size=96, crop_pct=1.0),
)
val_data = dict(
    data="data/microscopy",
    group=r"(\d+)_\d+_\d+\.tif",
    part=(0.8, 1.0),
    bands="all",
    in_chans=1,
    transform=dict(input_size=96, crop_pct=1.0),
)
