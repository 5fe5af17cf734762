# Frozen features of the example of twelve bands; four fifths are learnt from.
pool = "avg"
batch_size = 500
num_workers = 0
train_data = dict(
    data="data/bands",
    part=(0.0, 0.8),
    bands="all",
    in_chans=12,
    transform=dict(input_size=32, crop_pct=1.0),
)
val_data = dict(
    data="data/bands",
    part=(0.8, 1.0),
    bands="all",
    in_chans=12,
    transform=dict(input_size=32, crop_pct=1.0),
)
