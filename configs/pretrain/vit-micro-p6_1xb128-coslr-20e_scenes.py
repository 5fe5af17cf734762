# MAE on scenes of garments, on a few CPU cores. docs/examples.md makes the data.
_base_ = "../_base_/pretrain_small.py"
encoder = dict(arch="vit-micro-p6", img_size=60, in_chans=1)
mae = dict(decoder_width=64, decoder_depth=2, decoder_heads=4)
pixels = dict(mean=[67.6], std=[65.0])  # as in _base_/scenes.py
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    dataset=dict(
        data="data/scenes/labels.csv",
        columns=dict(labels="garments"),
        part=(0.0, 0.8),
        in_chans=1,
        transform=dict(input_size=60, scale=(0.4, 1.0)),
    ),
)
preview = dict(
    data="data/scenes/labels.csv",
    columns=dict(labels="garments"),
    part=(0.8, 1.0),
    in_chans=1,
    transform=dict(input_size=60, crop_pct=1.0),
)
optim_wrapper = dict(type="FiniteOptimWrapper", optimizer=dict(lr=4e-3))
train_cfg = dict(max_epochs=20)
schedule = dict(warmup_epochs=2)
