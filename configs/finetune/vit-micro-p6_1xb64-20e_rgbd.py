# Which garment is nearest, by fine-tuning on colours with depth.
_base_ = ["../_base_/rgbd.py", "../_base_/runtime.py", "../_base_/finetune_small.py"]
encoder = dict(drop_path=0.1)
train_dataloader = dict(
    dataset=dict(
        data="data/rgbd",
        part=(0.0, 0.8),
        bands=[0, 1, 2, 3],
        in_chans=4,
        transform=dict(input_size=60, scale=(0.8, 1.0)),
    ),
)
val_dataloader = dict(
    dataset=dict(
        data="data/rgbd",
        part=(0.8, 1.0),
        bands=[0, 1, 2, 3],
        in_chans=4,
        transform=dict(input_size=60),
    ),
)
train_cfg = dict(max_epochs=20, val_interval=20)
scratch = dict(optim_wrapper=dict(paramwise_cfg=dict(layer_decay=1.0)))  # for random weights
