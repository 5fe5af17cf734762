# MAE on tiles of microscopy images of 16 bits, on a few CPU cores. docs/examples.md makes the data.
_base_ = "vit-micro-p8_1xb128-coslr-300e_nuclei.py"
encoder = dict(in_chans=1)
pixels = dict(mean=[1141], std=[1427])  # as in _base_/microscopy.py
train_dataloader = dict(
    dataset=dict(
        data="data/microscopy",
        group=r"(\d+)_\d+_\d+\.tif",
        part=(0.0, 0.8),
        bands="all",
        in_chans=1,
        transform=dict(scale=(0.4, 1.0)),
    ),
)
preview = dict(
    data="data/microscopy",
    group=r"(\d+)_\d+_\d+\.tif",
    part=(0.8, 1.0),
    bands="all",
    in_chans=1,
)
train_cfg = dict(max_epochs=20)
schedule = dict(warmup_epochs=2)
