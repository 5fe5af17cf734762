# The demo's pretraining, with figures of the encoder every second epoch.
#   mae-bench pretrain pretrain/vit-micro-p6_1xb128-24e_demo_knn
_base_ = "vit-micro-p6_1xb128-24e_demo.py"
custom_imports = dict(imports=["downstream.classification.monitor"])
custom_hooks = [
    dict(
        type="EncoderMonitor",
        every=2,
        batch_size=500,
        train_data=dict(
            data="demo/classification/train",
            part=(0.0, 0.2),
            transform=dict(input_size=30, crop_pct=1.0),
        ),
        val_data=dict(data="demo/classification/val", transform=dict(input_size=30, crop_pct=1.0)),
    )
]
