# A batch norm and a linear layer on the last map of the frozen encoder, on ADE20K: what the
# features hold as they are (DINOv2, arXiv 2304.07193, 7.4, "lin."). Its 40,000 updates are 32
# epochs of 1,263.
_base_ = ["../_base_/upernet.py", "../_base_/ade20k.py"]
encoder = dict(arch="vit-base-p16")
model = dict(
    backbone=dict(layers=[11], frozen=True),
    neck=dict(_delete_=True, type="MapNorm"),
    decode_head=dict(
        _delete_=True,
        type="FCNHead",
        num_convs=0,
        kernel_size=1,
        concat_input=False,
        channels=768,
        dropout_ratio=0.0,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss"),
    ),
    auxiliary_head=None,
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=1e-4), paramwise_cfg=dict(layer_decay=1.0)
)
train_cfg = dict(max_epochs=32)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, begin=1.2, end=32, by_epoch=True, convert_to_iter_based=True),
]
scratch = dict(_delete_=True)  # none: the encoder is not trained
