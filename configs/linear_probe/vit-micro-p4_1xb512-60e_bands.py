# Linear classifiers on frozen features of twelve bands.
_base_ = [
    "../_base_/bands.py",
    "../_base_/bands_features.py",
    "../_base_/linear_probe_small.py",
]
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
train_dataloader = dict(batch_size=512)
