# As ..._cifar10-20pct, on the mean over places alone, which every encoder has.
_base_ = "vit-micro-p4_1xb512-60e_cifar10-20pct.py"
pool = "avg"
