# Does it pay to go on from other images' encoder? The demo's, of grey garments, on a fifth of
# CIFAR-10's train images, beside the same training begun anew. docs/methods.md has the table.
#   mae-bench run demo
#   mae-bench run continued_cifar10
seed = 0
slots = 2  # stages side by side, each with the threads of its config
encoders = dict(
    continued="pretrain/vit-micro-p6_1xb128-coslr-6e_cifar10-20pct_continued",
    anew="pretrain/vit-micro-p6_1xb128-coslr-6e_cifar10-20pct",
    garments="models:/mae-encoder@best-linear",  # what it went on from
)
repeats = {"pretrain": 3}  # each task runs once for each training
tasks = {
    "linear-probe": "linear_probe/vit-micro-p6_1xb512-60e_cifar10-20pct-avg",
    "knn": "knn/vit-micro-p6_k20_cifar10-20pct",
}
