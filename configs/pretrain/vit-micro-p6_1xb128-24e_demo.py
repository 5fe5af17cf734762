# MAE on the demo's 10,000 garments of 28×28 pixels: 2 CPU cores, about 5 minutes.
# Differs from the paper's recipe (arXiv 2111.06377, A.1) in size, in the higher base rate that a
# short schedule needs, and in the milder crop that small images allow.
_base_ = ["../_base_/demo.py", "../_base_/runtime.py"]
stage = "pretrain"
method = "mae"  # or another, with its fields under its name
mae = dict(
    mask_ratio=0.75,
    masking="random",
    norm_pix_loss=True,
    objective="mse",
    decode_ratio=1.0,
    decoder_width=64,
    decoder_depth=2,
    decoder_heads=4,
)
ema = None  # or the decay of a moving average of the weights, such as 0.999
effective_batch = None  # images of one update over all devices, if more than they handle at once
max_unreadable = 0.01  # share of the images that may be broken: they are skipped and listed
compile = None  # torch.compile: True, False, or None for "on a GPU"
sharded = False  # share the model among several processes (FSDP), see docs/training.md
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="DrawSampler"),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        data="demo/classification/train",
        in_memory=True,
        skip_unreadable=True,
        transform=dict(
            input_size=30, is_training=True, scale=(0.4, 1.0), color_jitter=None, hflip=0.5
        ),
    ),
)
preview = dict(
    data="demo/classification/val", transform=dict(input_size=30, crop_pct=1.0)
)  # images of the reconstruction picture
optim_wrapper = dict(
    type="FiniteOptimWrapper",
    optimizer=dict(type="AdamW", lr=4e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(by_epoch=True, max_epochs=24)
schedule = dict(warmup_epochs=1.2)
