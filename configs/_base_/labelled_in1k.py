# What trainings on ImageNet-1k's labels share: images, loaders and the evaluation.
_base_ = "runtime.py"
seed = 0
threads = 8  # of each process, see docs/training.md
encoder = dict(img_size=224, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
max_unreadable = 0.01  # share of the images that may be broken: they are skipped and listed
train_dataloader = dict(
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
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(by_epoch=True, val_interval=10)
val_cfg = dict()
val_evaluator = dict(type="Top1")
default_hooks = dict(checkpoint=dict(interval=5))
