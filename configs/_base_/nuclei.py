# What all stages on microscopy images of nuclei share: the encoder, its pixels and the data.
encoder = dict(arch="vit-micro-p6", patch_size=8, width=128, heads=4, img_size=96, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
seed = 0
data_root = "data/nuclei"
