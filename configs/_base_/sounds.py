# What all stages on the example of sounds share, docs/examples.md: the encoder, its pixels and the
# spectrograms, in which neither time nor pitch is mirrored.
encoder = dict(arch="vit-micro-p6", patch_size=8, img_size=64, in_chans=1)
pixels = dict(mean=[22.4], std=[9.5])  # dB; as `mae-bench data stats data/sounds --bands all`
protocol = "own"  # whose size and crop: the weights' own, or the "same", these, for all
seed = 0
pool = "avg"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
batch_size = 500
num_workers = 0
train_data = dict(
    data="data/sounds",
    part=(0.0, 0.75),
    bands="all",
    in_chans=1,
    transform=dict(input_size=64, crop_pct=1.0),
)
val_data = dict(
    data="data/sounds",
    part=(0.75, 1.0),
    bands="all",
    in_chans=1,
    transform=dict(input_size=64, crop_pct=1.0),
)
