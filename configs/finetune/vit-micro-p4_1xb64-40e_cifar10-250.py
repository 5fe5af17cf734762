# Fine-tuning on 25 labels a class of CIFAR-10, where pretraining matters.
_base_ = "vit-micro-p4_1xb64_cifar10.py"
train_dataloader = dict(dataset=dict(per_class=25))
train_cfg = dict(max_epochs=40)
scratch = dict(train_cfg=dict(max_epochs=80))
