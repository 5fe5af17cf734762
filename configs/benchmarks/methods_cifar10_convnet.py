# The ConvNet of methods_cifar10 beside random weights of the same ConvNet. With the same work
# folder its pretraining is taken over.
#   mae-bench run methods_cifar10_convnet --work-dir runs/methods_cifar10
seed = 0
slots = 2  # stages side by side, each with the threads of its config
encoders = dict(
    fcmae="pretrain/fcmae_convnextv2-micro_1xb128-coslr-5e_cifar10-20pct",
    random=None,  # of the ConvNet
)
repeats = {"pretrain": 3}  # each task runs once for each training
tasks = {
    "finetune": "finetune/convnextv2-micro_1xb64-40e_cifar10-250",
    "linear-probe": "linear_probe/convnextv2-micro_1xb512-60e_cifar10-20pct-avg",
    "knn": "knn/convnextv2-micro_k20_cifar10-20pct",
}
