# Linear classifiers on frozen features of a fifth of CIFAR-10, or of any images of 32×32 pixels.
_base_ = ["../_base_/cifar10_features.py", "../_base_/linear_probe_small.py"]
train_dataloader = dict(batch_size=512)
pool = "last4"  # class tokens of the last four blocks, and the mean of the patches
