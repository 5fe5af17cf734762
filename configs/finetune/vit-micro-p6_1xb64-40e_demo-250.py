# Fine-tuning on a fortieth of the demo's labels (25 images a class), where pretraining matters.
_base_ = ["../_base_/demo.py", "../_base_/runtime.py", "../_base_/finetune_small.py"]
encoder = dict(drop_path=0.1)
train_dataloader = dict(
    dataset=dict(
        data="demo/classification/train",
        per_class=25,
        transform=dict(input_size=30, scale=(0.6, 1.0)),
    )
)
val_dataloader = dict(dataset=dict(data="demo/classification/test", transform=dict(input_size=30)))
train_cfg = dict(max_epochs=40, val_interval=40)
scratch = dict(  # for random weights: twice the epochs, one rate for all layers; chosen on val
    optim_wrapper=dict(optimizer=dict(weight_decay=0.1), paramwise_cfg=dict(layer_decay=1.0)),
    train_cfg=dict(max_epochs=80, val_interval=80),
)
