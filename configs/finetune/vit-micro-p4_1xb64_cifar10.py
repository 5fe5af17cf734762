# Fine-tuning on CIFAR-10, or any images of 32×32 pixels, with the small model of
# pretrain/vit-micro-p4_1xb128-coslr-20e_small32, on CPUs. `scratch` is the recipe from random
# weights: twice the epochs, one rate for all layers, more regularisation.
_base_ = ["../_base_/runtime.py", "../_base_/finetune_small.py"]
seed = 0
encoder = dict(arch="vit-micro-p6", patch_size=4, img_size=32, in_chans=3, drop_path=0.1)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # as in pretraining
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
mixing = None
train_dataloader = dict(
    dataset=dict(
        data="data/train",
        part=None,
        per_class=None,
        transform=dict(input_size=32, scale=(0.5, 1.0)),
    )
)
val_dataloader = dict(dataset=dict(data="data/val", transform=dict(input_size=32)))
train_cfg = dict(max_epochs=20, val_begin=1000)
default_hooks = dict(checkpoint=dict(interval=1000))
scratch = dict(
    optim_wrapper=dict(optimizer=dict(weight_decay=0.1), paramwise_cfg=dict(layer_decay=1.0)),
    train_cfg=dict(max_epochs=40),
)
