# How many pixels garments cover, by fine-tuning.
_base_ = ["../_base_/scenes.py", "../_base_/runtime.py", "../_base_/finetune_small.py"]
encoder = dict(drop_path=0.1)
metrics = ["mae", "spearman"]
mixing = None
train_dataloader = dict(
    dataset=dict(
        data="data/scenes/labels.csv",
        columns=dict(number="area"),
        unit="px",
        part=(0.0, 0.8),
        in_chans=1,
        transform=dict(input_size=60, scale=(1.0, 1.0), ratio=(1.0, 1.0)),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data="data/scenes/labels.csv",
        columns=dict(number="area"),
        unit="px",
        part=(0.8, 1.0),
        in_chans=1,
        transform=dict(input_size=60),
    ),
)
train_cfg = dict(max_epochs=10, val_interval=10)
scratch = dict(  # for random weights: twice the epochs, one rate for all layers
    train_cfg=dict(max_epochs=20, val_interval=20),
    optim_wrapper=dict(paramwise_cfg=dict(layer_decay=1.0)),
)
