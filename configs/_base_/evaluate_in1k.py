# A fine-tuned classifier on ImageNet-1k's validation images and on its variants: -A, -R, -Sketch,
# -V2 (matched frequency) and -C. Where only a part of the classes occurs, only those compete.
_base_ = "runtime.py"
stage = "evaluate"
seed = 0
threads = 8  # of each process, see docs/training.md
encoder = dict(img_size=224, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
transform = dict(input_size=224, crop_pct=0.875, interpolation="bicubic")
batch_size = 256
num_workers = 10
sets = [
    dict(name="val", data="data/imagenet/val"),
    dict(name="a", data="data/imagenet-a", subset=True),
    dict(name="r", data="data/imagenet-r", subset=True),
    dict(name="sketch", data="data/imagenet-sketch"),
    dict(name="v2", data="data/imagenetv2-matched-frequency-format-val"),
    # Its files have 224×224 pixels, which its protocol takes as they are (ImageNet-C/test.py of
    # hendrycks/robustness: CenterCrop(224) alone).
    dict(name="c", data="data/imagenet-c", corrupted=True, transform=dict(crop_pct=1.0)),
]
