# Fine-tuning on a twentieth of the demo's labels (50 images a class), where pretraining matters.
_base_ = ["../_base_/demo.py", "../_base_/runtime.py"]
stage = "finetune"
encoder = dict(drop_path=0.1)
classifier = dict(pool="avg", label_smoothing=0.1)
max_unreadable = 0.01  # share of the images that may be broken: they are skipped and listed
sharded = False  # share the model among several processes (FSDP), see docs/training.md
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="DrawSampler"),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        data="demo/classification/train",
        per_class=50,
        in_memory=True,
        skip_unreadable=True,
        transform=dict(
            input_size=30, is_training=True, scale=(0.6, 1.0), color_jitter=None, hflip=0.5
        ),
    ),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(data="demo/classification/val", transform=dict(input_size=30, crop_pct=1.0)),
)
optim_wrapper = dict(
    type="FiniteOptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=4e-3, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=0.75),
)
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(by_epoch=True, max_epochs=40, val_interval=20)
val_cfg = dict()
val_evaluator = dict(type="Top1")
schedule = dict(warmup_epochs=5)
