# What all stages on the example of twelve bands share, docs/examples.md: encoder, pixels, reading.
encoder = dict(arch="vit-micro-p6", patch_size=4, img_size=32, in_chans=12)
pixels = dict(  # the line of `mae-bench data stats data/bands --bands all`
    mean=[4060, 2721, 354, 1565, 2100, 1121, 7766, 5393, 840, 478, 10576, 611],
    std=[3610, 2670, 251, 1330, 1837, 944, 7079, 5076, 675, 345, 9880, 481],
)
protocol = "own"  # whose size and crop: the weights' own, or the "same", these, for all
seed = 0
