# Linear classifiers on few small images: a tenth of them chooses the rate and the weight decay,
# then the winner is trained on all.
_base_ = "runtime.py"
stage = "linear-probe"
rates = (0.1, 0.3, 1.0, 3.0)  # factors of the optimizer's rate
decays = (0.0, 1e-4)
held_out = 0.1
train_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
)
optim_wrapper = dict(
    type="FiniteOptimWrapper", optimizer=dict(type="SGD", lr=0.5, momentum=0.9, weight_decay=0.0)
)
auto_scale_lr = dict(base_batch_size=256, enable=True)
train_cfg = dict(by_epoch=True, max_epochs=60)
schedule = dict(warmup_epochs=2)
default_hooks = dict(checkpoint=dict(interval=20))
