# How many pixels garments cover, by fine-tuning.
_base_ = "vit-micro-p6_1xb64-10e_scenes.py"
metrics = ["mae", "spearman"]
train_dataloader = dict(dataset=dict(columns=dict(_delete_=True, number="area"), unit="px"))
val_dataloader = dict(dataset=dict(columns=dict(_delete_=True, number="area"), unit="px"))
