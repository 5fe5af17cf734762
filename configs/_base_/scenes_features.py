# Frozen features of scenes of garments, whose kinds are several labels of an image.
_base_ = "../_base_/scenes.py"
pool = "avg"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
batch_size = 250
num_workers = 0
train_data = dict(
    data="data/scenes/labels.csv",
    columns=dict(labels="garments"),
    part=(0.0, 0.8),
    in_chans=1,
    transform=dict(input_size=60, crop_pct=1.0),
)
val_data = dict(
    data="data/scenes/labels.csv",
    columns=dict(labels="garments"),
    part=(0.8, 1.0),
    in_chans=1,
    transform=dict(input_size=60, crop_pct=1.0),
)
