# How many pixels garments cover, by a linear layer on frozen features.
_base_ = "vit-micro-p6_1xb512-60e_scenes.py"
metrics = ["mae", "spearman"]
train_data = dict(columns=dict(_delete_=True, number="area"), unit="px")
val_data = dict(columns=dict(_delete_=True, number="area"), unit="px")
