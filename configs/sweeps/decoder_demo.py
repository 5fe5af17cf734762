# A search over decoder, mask ratio and rate that ends trials early by the kNN accuracy so far.
#   mae-bench sweep decoder_demo
_base_ = "../_base_/sweep.py"
recipe = "demo"
overrides = ["pretrain=pretrain/vit-micro-p6_1xb128-24e_demo_knn"]
tasks = ["knn"]
goal = "knn/top1"
select_on = {"knn.val_data.data": "demo/classification/val"}  # which the pretraining looks at too
parameters = {
    "pretrain.mae.mask_ratio": dict(low=0.3, high=0.9),
    "pretrain.mae.decoder_depth": [1, 2, 4],
    "pretrain.mae.decoder_width": [32, 64, 128],
    "pretrain.optim_wrapper.optimizer.lr": dict(low=5e-4, high=2e-2, log=True),
}
sampler = "tpe"
trials = 16
pruning = dict(metric="val/knn/top1", first=0.25, keep=0.5)
