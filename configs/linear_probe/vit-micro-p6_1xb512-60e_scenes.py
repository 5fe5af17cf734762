# Which kinds of garments are seen, by a linear layer on frozen features.
_base_ = ["../_base_/scenes_features.py", "../_base_/linear_probe_small.py"]
metrics = ["auroc", "macro_f1"]
train_dataloader = dict(batch_size=512)
