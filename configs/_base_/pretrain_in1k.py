# Pretraining on ImageNet-1k as in the paper's appendix (arXiv 2111.06377, A.1, Table 8). The crop's
# scale and bicubic filter and the decay of matrices alone are as in facebookresearch/mae. What
# differs: bfloat16 in place of float16 with a loss scale (the paper's own runs were on TPUs).
_base_ = "pretrain.py"
threads = 8  # of each process, see docs/training.md
encoder = dict(img_size=224)
mae = dict(decoder_width=512, decoder_depth=8, decoder_heads=16)
effective_batch = 4096  # images of one update, whatever the number of devices
train_dataloader = dict(
    batch_size=512,
    num_workers=10,
    persistent_workers=True,
    pin_memory=True,
    dataset=dict(data="data/imagenet/train", transform=dict(input_size=224, scale=(0.2, 1.0))),
)
preview = dict(data="data/imagenet/val", transform=dict(input_size=224))
train_cfg = dict(by_epoch=True)
schedule = dict(warmup_epochs=40)
default_hooks = dict(checkpoint=dict(interval=20))
