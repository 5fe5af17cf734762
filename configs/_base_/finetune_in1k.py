# Fine-tuning on ImageNet-1k as FINETUNE.md of facebookresearch/mae does it (at efb2a80): a global
# average over the patches in place of the class token, learnt positions, erasing. The paper has
# other numbers (arXiv 2111.06377, A.1, Table 9): finetune/*_in1k-table9. What differs from both:
# bfloat16 in place of float16 with a loss scale; the cosine ends at 0, not at 1e-6; what is erased
# follows from the images' seeds, and images are mixed two by two with a ratio of their own, where
# theirs is one for all that a GPU handles.
_base_ = "labelled_in1k.py"
stage = "finetune"
classifier = dict(pool="avg", label_smoothing=0.1, head_std=2e-5)
mixing = dict(mixup_alpha=0.8, cutmix_alpha=1.0, prob=1.0, switch_prob=0.5, mode="batch")
ema = None  # or the decay of a moving average of the weights, which is then what is evaluated
sharded = False  # share the model among several processes (FSDP), see docs/training.md
effective_batch = 1024  # images of one update, whatever the number of devices
train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        transform=dict(
            auto_augment="rand-m9-mstd0.5-inc1", re_prob=0.25, re_mode="pixel", re_count=1
        )
    ),
)
val_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=0.75),
)
schedule = dict(warmup_epochs=5)
# The encoder 'supervised' in this stage: from random weights on the same labels (paper, A.2 and
# Table 11).
scratch = dict(
    ema=0.9999,
    effective_batch=4096,
    train_dataloader=dict(dataset=dict(transform=dict(re_prob=0.0))),
    optim_wrapper=dict(
        optimizer=dict(lr=1e-4, betas=(0.9, 0.95), weight_decay=0.3),
        paramwise_cfg=dict(layer_decay=1.0),
    ),
    train_cfg=dict(max_epochs=300),
    schedule=dict(warmup_epochs=20),
)
