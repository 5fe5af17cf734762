# Fine-tuning of a small encoder on few small images, on CPUs.
stage = "finetune"
classifier = dict(pool="avg", label_smoothing=0.1)
max_unreadable = 0.01  # share of the images that may be broken: they are skipped and listed
sharded = False  # share the model among several processes (FSDP), see docs/training.md
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="DrawSampler"),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        in_memory=True,
        skip_unreadable=True,
        transform=dict(is_training=True, color_jitter=None, hflip=0.5),
    ),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(transform=dict(crop_pct=1.0)),
)
optim_wrapper = dict(
    type="FiniteOptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=4e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=0.75),
)
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(by_epoch=True)
val_cfg = dict()
val_evaluator = dict(type="Top1")
schedule = dict(warmup_epochs=5)
