# The encoder of the row `supervised`: from scratch on the labels of a fifth of CIFAR-10.
_base_ = "../finetune/vit-micro-p4_1xb64_cifar10.py"
stage = "supervise"
train_dataloader = dict(batch_size=128, dataset=dict(part=(0.0, 0.2)))
optim_wrapper = dict(optimizer=dict(weight_decay=0.1), paramwise_cfg=dict(layer_decay=1.0))
train_cfg = dict(max_epochs=15)
schedule = dict(warmup_epochs=1)
