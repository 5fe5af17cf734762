# Linear classifiers on few small images: a tenth of them chooses the rate and, with pool="last4",
# the input, then the winner is trained on all. The grid is DINOv2's: 13 rates for the class tokens
# of the last block and of the last four, each with and without the mean of the patches.
_base_ = "runtime.py"
stage = "linear-probe"
# Factors of the optimizer's rate, here ten times DINOv2's, as there is a tenth of its 12,500 steps.
rates = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
decays = (0.0,)
held_out = 0.1
train_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
)
optim_wrapper = dict(
    type="FiniteOptimWrapper", optimizer=dict(type="SGD", lr=10.0, momentum=0.9, weight_decay=0.0)
)
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(by_epoch=True, max_epochs=60)
schedule = dict(warmup_epochs=2)
default_hooks = dict(checkpoint=dict(interval=20))
