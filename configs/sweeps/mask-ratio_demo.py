# How much of an image to hide: the demo's pretraining at six mask ratios.
#   mae-bench sweep mask-ratio_demo
_base_ = "../_base_/sweep.py"
recipe = "demo"
tasks = ["linear-probe", "knn"]
goal = "linear-probe/top1"
select_on = {  # the best of them is reported on test
    "linear-probe.val_data.data": "demo/classification/val",
    "knn.val_data.data": "demo/classification/val",
}
parameters = {"pretrain.mae.mask_ratio": [0.25, 0.4, 0.55, 0.7, 0.8, 0.9]}
