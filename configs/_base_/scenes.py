# What all stages on scenes of garments share, docs/examples.md: encoder, pixels and images.
encoder = dict(arch="vit-micro-p6", img_size=60, in_chans=1)
pixels = dict(mean=[67.6], std=[65.0])  # as `mae-bench data stats data/scenes/labels.csv`
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
seed = 0
