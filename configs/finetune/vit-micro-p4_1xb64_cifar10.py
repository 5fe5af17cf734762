# Fine-tuning on CIFAR-10, or any images of 32×32 pixels, with the small model of
# pretrain/vit-micro-p4_1xb128-coslr-20e_small32, on CPUs. `scratch` is the recipe from random
# weights: twice the epochs, one rate for all layers, more regularisation.
_base_ = "../_base_/runtime.py"
stage = "finetune"
seed = 0
encoder = dict(arch="vit-micro-p6", patch_size=4, img_size=32, in_chans=3, drop_path=0.1)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # as in pretraining
classifier = dict(pool="avg", label_smoothing=0.1)
mixing = None
max_unreadable = 0.01
sharded = False
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="DrawSampler"),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        data="data/train",
        part=None,
        per_class=None,
        in_memory=True,
        skip_unreadable=True,
        transform=dict(
            input_size=32, is_training=True, scale=(0.5, 1.0), color_jitter=None, hflip=0.5
        ),
    ),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(data="data/val", transform=dict(input_size=32, crop_pct=1.0)),
)
optim_wrapper = dict(
    type="FiniteOptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=4e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=0.75),
)
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(by_epoch=True, max_epochs=20, val_begin=1000)
val_cfg = dict()
val_evaluator = dict(type="Top1")
schedule = dict(warmup_epochs=5)
default_hooks = dict(checkpoint=dict(interval=1000))
scratch = dict(
    optim_wrapper=dict(optimizer=dict(weight_decay=0.1), paramwise_cfg=dict(layer_decay=1.0)),
    train_cfg=dict(max_epochs=40),
)
