# What all stages on the example of colours with depth share, docs/examples.md.
encoder = dict(arch="vit-micro-p6", img_size=60, in_chans=4)
pixels = dict(mean=[50.7, 50.7, 50.7, 3.44], std=[50.6, 50.6, 50.6, 0.96])  # the last in metres
protocol = "own"  # whose size and crop: the weights' own, or the "same", these, for all
seed = 0
