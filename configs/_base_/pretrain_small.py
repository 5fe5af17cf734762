# Pretraining on small images, with a small model and a short schedule.
# Differs from the paper's recipe in the light decoder, in the higher base rate that few updates
# need, and in the milder crop that images of few pixels allow.
_base_ = "pretrain.py"
effective_batch = None  # images of one update over all devices, if more than they handle at once
train_dataloader = dict(
    dataset=dict(in_memory=True, part=None, per_class=None, transform=dict(scale=(0.4, 1.0)))
)
train_cfg = dict(by_epoch=True)
