# The demo's pretraining in a third of its epochs: the benchmark has three of them, as several short
# ones say more about the method than a long one.
_base_ = "vit-micro-p6_1xb128-24e_demo.py"
train_cfg = dict(max_epochs=8)
schedule = dict(warmup_epochs=0.6)
