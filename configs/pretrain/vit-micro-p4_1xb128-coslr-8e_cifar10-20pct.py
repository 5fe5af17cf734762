# MAE on a fifth of CIFAR-10's train images for as long as the SimMIM and FCMAE beside it take.
_base_ = "vit-micro-p4_1xb128-coslr-20e_cifar10-20pct.py"
train_cfg = dict(max_epochs=8)
