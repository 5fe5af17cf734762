# FCMAE on a fifth of CIFAR-10's train images for as long as the MAE and SimMIM beside it take.
_base_ = "fcmae_convnextv2-micro_1xb128-coslr-20e_cifar10-20pct.py"
train_cfg = dict(max_epochs=5)
