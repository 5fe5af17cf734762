# 1 % and 10 % of the labels of CIFAR-10, or of any images of 32×32 pixels, in splits of our own.
_base_ = "../finetune/vit-micro-p4_1xb64_cifar10.py"
stage = "low-shot"
methods = ("probe", "finetune")
sets = [
    dict(name="1pct", share=0.01, splits=3, epochs=40),
    dict(name="10pct", share=0.1, splits=3, epochs=10),
]
scratch = dict(
    sets=[
        dict(name="1pct", share=0.01, splits=3, epochs=60),
        dict(name="10pct", share=0.1, splits=3, epochs=16),
    ]
)
pool = "avg"
layer = None  # of the encoder, for the probe: a number from 0 on; None is the last
batch_size = 500
num_workers = 0
train_data = dict(data="data/train", transform=dict(input_size=32, crop_pct=1.0))
val_data = dict(data="data/val", transform=dict(input_size=32, crop_pct=1.0))
