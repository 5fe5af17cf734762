# A schedule for data of any size: epochs follow from the updates, see the config's `updates`.
train_cfg = dict(by_epoch=True, max_epochs=None)
schedule = dict(warmup_epochs=1)
