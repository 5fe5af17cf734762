# FCMAE on a fifth of CIFAR-10's train images, those that its frozen features are probed on.
_base_ = "fcmae_convnextv2-micro_1xb128-coslr-20e_small32.py"
train_dataloader = dict(dataset=dict(part=(0.0, 0.2)))
