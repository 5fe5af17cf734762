# What all stages of the demo share: the encoder, its pixels and the seed.
encoder = dict(arch="vit-micro-p6", img_size=30, in_chans=3)
pixels = dict(mean=[72.9] * 3, std=[90.0] * 3)  # of Fashion-MNIST, 0 to 255
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
seed = 0
