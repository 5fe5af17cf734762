# MAE on stacks of twelve bands of 16 bits, on a few CPU cores. docs/examples.md makes the data.
_base_ = "vit-micro-p4_1xb128-coslr-20e_small32.py"
encoder = dict(in_chans=12)
pixels = dict(  # as in _base_/bands.py
    mean=[4060, 2721, 354, 1565, 2100, 1121, 7766, 5393, 840, 478, 10576, 611],
    std=[3610, 2670, 251, 1330, 1837, 944, 7079, 5076, 675, 345, 9880, 481],
)
train_dataloader = dict(dataset=dict(data="data/bands", part=(0.0, 0.8), bands="all", in_chans=12))
preview = dict(data="data/bands", part=(0.8, 1.0), bands="all", in_chans=12)
