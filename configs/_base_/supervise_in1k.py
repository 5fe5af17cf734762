# Training from scratch on ImageNet-1k's labels, as in the paper's appendix (arXiv 2111.06377, A.2,
# Table 11), with the augmentation of fine-tuning without random erasing. What differs: bfloat16;
# the norm comes before the average, so that the encoder alone gives what the head saw.
_base_ = "finetune_in1k.py"
stage = "supervise"
ema = 0.9999
effective_batch = 4096
train_dataloader = dict(batch_size=512, dataset=dict(transform=dict(re_prob=0.0)))
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, betas=(0.9, 0.95), weight_decay=0.3),
    paramwise_cfg=dict(layer_decay=1.0),
)
schedule = dict(warmup_epochs=20)
