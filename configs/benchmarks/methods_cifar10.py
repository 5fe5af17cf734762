# Three methods of masked pretraining at equal hours, on a fifth of CIFAR-10's train images: each
# pretraining takes as long as the others on a CPU core. docs/methods.md has the table.
#   mae-bench run methods_cifar10
#   mae-bench run methods_cifar10_convnet --work-dir runs/methods_cifar10
seed = 0
slots = 2  # stages side by side, each with the threads of its config
encoders = dict(
    mae="pretrain/vit-micro-p4_1xb128-coslr-8e_cifar10-20pct",
    simmim="pretrain/simmim_vit-micro-p4_1xb128-coslr-4e_cifar10-20pct",
    fcmae="pretrain/fcmae_convnextv2-micro_1xb128-coslr-5e_cifar10-20pct",
    random=None,  # of the ViT
)
repeats = {"pretrain": 3}  # each task runs once for each training
tasks = {
    "finetune": "finetune/vit-micro-p4_1xb64-40e_cifar10-250",
    "linear-probe": "linear_probe/vit-micro-p4_1xb512-60e_cifar10-20pct-avg",
    "knn": "knn/vit-micro-p4_k20_cifar10-20pct",
}
