# Fig. 5 of the MAE paper in small: seven mask ratios on CIFAR-10, or any images of 32×32 pixels.
#   mae-bench sweep mask-ratio_cifar10
# The curve, and what was run: docs/sweeps.md.
_base_ = "../_base_/sweep.py"
recipe = "cifar10"
overrides = [  # 10,000 images, 780 updates
    "pretrain.train_dataloader.dataset.part=(0.0,0.2)",
    "pretrain.train_cfg.max_epochs=10",
]
goal = "linear-probe/top1"
_other = dict(data="data/train", part=(0.8, 1.0), transform=dict(input_size=32, crop_pct=1.0))
select_on = {"linear-probe.val_data": _other, "knn.val_data": _other}  # reported on data/val
parameters = {"pretrain.mae.mask_ratio": [0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.9]}
