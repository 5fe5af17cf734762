# A linear layer on the last map of the frozen encoder, on ADE20K: what the features hold as they
# are (DINOv2, arXiv 2304.07193, 7.4, "lin.").
_base_ = ["../_base_/upernet.py", "../_base_/ade20k.py"]
encoder = dict(arch="vit-base-p16")
model = dict(
    backbone=dict(layers=[11], frozen=True),
    neck=None,
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
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay=1.0))
