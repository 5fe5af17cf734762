# Few labels of ImageNet-1k: 1, 2, 5 and 13 images a class, as many as in Assran et al. 2022 (arXiv
# 2204.07141), 1 % and 10 % of all, as many as in Chen et al. 2020 (arXiv 2002.05709). The splits
# are our own, seeded, with as much of each class; vit-base-p16_in1k-lists has Chen et al.'s. The
# fine-tuning is that of all labels, with more epochs where there are fewer images.
#   mae-bench low-shot low_shot/vit-base-p16_in1k --encoder ENCODER
_base_ = "../finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k.py"
stage = "low-shot"
methods = ("probe", "finetune")
sets = [
    dict(name="1img", per_class=1, splits=3, epochs=200),
    dict(name="2img", per_class=2, splits=3, epochs=200),
    dict(name="5img", per_class=5, splits=3, epochs=200),
    dict(name="13img", per_class=13, splits=3, epochs=200),
    dict(name="1pct", share=0.01, splits=3, epochs=200),
    dict(name="10pct", share=0.1, splits=3, epochs=100),
]
effective_batch = 512
scratch = dict(effective_batch=512)
train_dataloader = dict(batch_size=64)
pool = "avg"
layer = None  # of the encoder, for the probe: a number from 0 on; None is the last
batch_size = 256
num_workers = 10
train_data = dict(
    data="data/imagenet/train",
    transform=dict(input_size=224, crop_pct=0.875, interpolation="bicubic"),
)
val_data = dict(
    data="data/imagenet/val",
    transform=dict(input_size=224, crop_pct=0.875, interpolation="bicubic"),
)
