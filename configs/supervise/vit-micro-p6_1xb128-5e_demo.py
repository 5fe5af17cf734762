# The encoder of the row `supervised`: from scratch on all labels of the demo.
_base_ = "../finetune/vit-micro-p6_1xb64-40e_demo-250.py"
stage = "supervise"
train_dataloader = dict(batch_size=128, dataset=dict(per_class=None))
optim_wrapper = dict(optimizer=dict(weight_decay=0.1), paramwise_cfg=dict(layer_decay=1.0))
train_cfg = dict(max_epochs=5, val_interval=5)
schedule = dict(warmup_epochs=1)
