# How many pixels garments cover, by the 20 nearest scenes.
_base_ = "../_base_/scenes.py"
stage = "knn"
held_out = None  # share of the train images that chooses with layer="best", such as 0.1
k = 20
more_k = ()
temperature = 0.07
standardize = False  # features of length 1 alone, as published
metrics = ["mae", "spearman"]
pool = "avg"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
batch_size = 250
num_workers = 0
train_data = dict(
    data="data/scenes/labels.csv",
    columns=dict(number="area"),
    unit="px",
    part=(0.0, 0.8),
    in_chans=1,
    transform=dict(input_size=60, crop_pct=1.0),
)
val_data = dict(
    data="data/scenes/labels.csv",
    columns=dict(number="area"),
    unit="px",
    part=(0.8, 1.0),
    in_chans=1,
    transform=dict(input_size=60, crop_pct=1.0),
)
