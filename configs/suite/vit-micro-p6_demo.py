# The demo's garments as a suite of one data set: 1,000 examples, tested on all 2,000 test images.
#   mae-bench suite suite/vit-micro-p6_demo --encoder ENCODER
_base_ = ["../_base_/demo.py", "../_base_/demo_features.py"]
stage = "suite"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
examples = (800, 200)
datasets = [
    dict(
        name="fashion-mnist",
        group="natural",
        train_data={{_base_.train_data}},
        val_data={{_base_.val_data}},
    ),
]
