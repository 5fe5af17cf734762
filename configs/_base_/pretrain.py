# What every pretraining shares: the paper's method and optimizer (arXiv 2111.06377, A.1, Table 8).
_base_ = "runtime.py"
stage = "pretrain"
method = "mae"  # or another, with its fields under its name
seed = 0
encoder = dict(in_chans=3)
mae = dict(
    mask_ratio=0.75,
    masking="random",
    norm_pix_loss=True,
    objective="mse",
    decode_ratio=1.0,
)
ema = None  # or the decay of a moving average of the weights, such as 0.999
max_unreadable = 0.01  # share of the images that may be broken: they are skipped and listed
compile = None  # torch.compile: True, False, or None for "on a GPU"
sharded = False  # share the model among several processes (FSDP), see docs/training.md
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
train_dataloader = dict(
    drop_last=True,
    sampler=dict(type="DrawSampler"),
    collate_fn=dict(type="collate_views"),
    dataset=dict(
        in_chans=3,
        repeats=1,
        skip_unreadable=True,
        transform=dict(is_training=True, interpolation="bicubic", color_jitter=None, hflip=0.5),
    ),
)
preview = dict(in_chans=3)
optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    optimizer=dict(type="AdamW", lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=256, enable=True)
