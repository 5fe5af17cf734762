# How many pixels garments cover, by the 20 nearest scenes.
_base_ = "vit-micro-p6_k20_scenes.py"
metrics = ["mae", "spearman"]
train_data = dict(columns=dict(_delete_=True, number="area"), unit="px")
val_data = dict(columns=dict(_delete_=True, number="area"), unit="px")
