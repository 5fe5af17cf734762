# Fine-tuning on twelve bands with 25 labels a class, where pretraining matters.
_base_ = ["../_base_/bands.py", "../_base_/runtime.py", "../_base_/finetune_small.py"]
encoder = dict(drop_path=0.1)
train_dataloader = dict(
    dataset=dict(
        data="data/bands",
        part=(0.0, 0.8),
        per_class=25,
        bands="all",
        in_chans=12,
        transform=dict(input_size=32, scale=(0.6, 1.0)),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data="data/bands",
        part=(0.8, 1.0),
        bands="all",
        in_chans=12,
        transform=dict(input_size=32),
    ),
)
train_cfg = dict(max_epochs=40, val_interval=40)
scratch = dict(  # for random weights: twice the epochs, one rate for all layers
    optim_wrapper=dict(paramwise_cfg=dict(layer_decay=1.0)),
    train_cfg=dict(max_epochs=80, val_interval=80),
)
