# Linear classifiers on frozen features of all 10,000 garments.
_base_ = [
    "../_base_/demo.py",
    "../_base_/demo_features.py",
    "../_base_/linear_probe_small.py",
]
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
train_cfg = dict(max_epochs=25)
