# Fine-tuning on ImageNet-1k as in the paper's appendix (arXiv 2111.06377, A.1, Table 9): a global
# average over the patches in place of the class token, as in facebookresearch/mae. What differs:
# bfloat16 in place of float16 with a loss scale; the cosine ends at 0, not at 1e-6; what is erased
# or mixed follows from the images' seeds.
_base_ = "runtime.py"
stage = "finetune"
seed = 0
encoder = dict(img_size=224, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
classifier = dict(pool="avg", label_smoothing=0.1, head_std=2e-5)
mixing = dict(mixup_alpha=0.8, cutmix_alpha=1.0, prob=1.0, switch_prob=0.5, mode="batch")
ema = None  # or the decay of a moving average of the weights, which is then what is evaluated
max_unreadable = 0.01
sharded = False
effective_batch = 1024  # images of one update, whatever the number of devices
train_dataloader = dict(
    batch_size=128,
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
            auto_augment="rand-m9-mstd0.5-inc1",
            re_prob=0.25,
            re_mode="pixel",
            re_count=1,
        ),
    ),
)
val_dataloader = dict(
    batch_size=128,
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
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=0.75),
)
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(by_epoch=True, val_interval=10)
val_cfg = dict()
val_evaluator = dict(type="Top1")
schedule = dict(warmup_epochs=5)
default_hooks = dict(checkpoint=dict(interval=5))
# The encoder 'supervised' in this stage: from random weights on the same labels (paper, A.2 and
# Table 11).
scratch = dict(
    ema=0.9999,
    effective_batch=4096,
    train_dataloader=dict(dataset=dict(transform=dict(re_prob=0.0))),
    optim_wrapper=dict(
        optimizer=dict(lr=1e-4, betas=(0.9, 0.95), weight_decay=0.3),
        paramwise_cfg=dict(layer_decay=1.0),
    ),
    train_cfg=dict(max_epochs=300),
    schedule=dict(warmup_epochs=20),
)
