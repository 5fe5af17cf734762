# Frozen features of a small MAE on CIFAR-10, or on any images of 32×32 pixels: what sweeps vary.
#   mae-bench run cifar10
seed = 0
slots = 2  # stages side by side, each with the threads of its config
pretrain = "pretrain/vit-micro-p4_1xb128-coslr-20e_small32"
encoders = ["mae", "random"]
repeats = {}  # runs of a stage, each with another seed, such as {"pretrain": 3, "detect": 1}
tasks = {
    "linear-probe": "linear_probe/vit-micro-p4_1xb512-60e_cifar10-20pct",
    "knn": "knn/vit-micro-p4_k20_cifar10-20pct",
}
