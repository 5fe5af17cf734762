# The demo's pretraining beside what needs none: weights trained on ImageNet, features without
# learning, training from scratch; frozen features of garments. 2 CPU cores. docs/encoders.md has
# the table.
#   mae-bench run rivals_demo
seed = 0
slots = 2  # stages side by side, each with the threads of its config
pretrain = "pretrain/vit-micro-p6_1xb128-24e_demo"
supervised = "supervise/vit-micro-p6_1xb128-5e_demo"
encoders = dict(
    mae=None,
    supervised=None,
    efficientnet="timm:tf_efficientnet_lite0@package",  # of the extra `weights`
    random=None,
    pixels=None,
    rcf=None,
)
repeats = {"pretrain": 3, "supervise": 3}  # each task runs once for each training
tasks = {
    "linear-probe": "linear_probe/vit-micro-p6_1xb500-25e_demo",
    "knn": "knn/vit-micro-p6_k20_demo",
    "few-shot": "few_shot/vit-micro-p6_600ep_demo",
}
