# As rivals_demo, on a fifth of CIFAR-10's train images, which are pretrained and trained on, too.
#   mae-bench run rivals_cifar10
_base_ = "rivals_demo.py"
pretrain = "pretrain/vit-micro-p4_1xb128-coslr-20e_cifar10-20pct"
supervised = "supervise/vit-micro-p4_1xb128-15e_cifar10-20pct"
tasks = {
    "linear-probe": "linear_probe/vit-micro-p4_1xb512-60e_cifar10-20pct-avg",
    "knn": "knn/vit-micro-p4_k20_cifar10-20pct",
    "few-shot": "few_shot/vit-micro-p4_600ep_cifar10",
}
