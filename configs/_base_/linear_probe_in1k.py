# Linear probing on ImageNet-1k as in the paper's appendix (arXiv 2111.06377, A.1, Table 10): LARS,
# no weight decay, batch 16384, crop and flip alone, the class token. What differs: bfloat16, and
# the batch norm's statistics are those of the last images that each device saw.
_base_ = "runtime.py"
stage = "linear-probe"
seed = 0
encoder = dict(img_size=224, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
pool = "cls"
max_unreadable = 0.01
effective_batch = 16384
train_dataloader = dict(
    batch_size=2048,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="DrawSampler"),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        data="data/imagenet/train",
        part=None,
        per_class=None,
        skip_unreadable=True,
        transform=dict(
            input_size=224,
            is_training=True,
            scale=(0.08, 1.0),
            hflip=0.5,
            interpolation="bicubic",
            color_jitter=None,
        ),
    ),
)
val_dataloader = dict(
    batch_size=512,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        data="data/imagenet/val",
        transform=dict(input_size=224, crop_pct=0.875, interpolation="bicubic"),
    ),
)
optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    constructor="LarsConstructor",
    optimizer=dict(type="Lars", lr=0.1, momentum=0.9, weight_decay=0.0),
)
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(by_epoch=True, val_interval=10)
val_cfg = dict()
val_evaluator = dict(type="Top1")
schedule = dict(warmup_epochs=10)
default_hooks = dict(checkpoint=dict(interval=5))
