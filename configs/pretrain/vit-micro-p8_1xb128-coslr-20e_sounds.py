# MAE on spectrograms of one band, on a few CPU cores. docs/examples.md makes the data.
_base_ = "../_base_/pretrain_small.py"
encoder = dict(arch="vit-micro-p6", patch_size=8, img_size=64, in_chans=1)
mae = dict(decoder_width=64, decoder_depth=2, decoder_heads=4)
pixels = dict(mean=[22.4], std=[9.5])  # as in _base_/sounds.py
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    dataset=dict(
        data="data/sounds",
        part=(0.0, 0.75),
        bands="all",
        in_chans=1,
        transform=dict(input_size=64, scale=(0.6, 1.0), ratio=(0.8, 1.25), hflip=0.0),
    ),
)
preview = dict(
    data="data/sounds",
    part=(0.75, 1.0),
    bands="all",
    in_chans=1,
    transform=dict(input_size=64, crop_pct=1.0),
)
optim_wrapper = dict(type="FiniteOptimWrapper", optimizer=dict(lr=4e-3))
train_cfg = dict(max_epochs=20)
schedule = dict(warmup_epochs=2)
