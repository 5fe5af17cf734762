# UperNet with slim heads for small images, on CPUs.
_base_ = "runtime.py"
stage = "segment"
default_scope = "mmseg"
classes = None  # 'background' and the annotations' categories
background_weight = None  # in the loss, where classes have 1
multiscale = None  # factors of the scale for a second test, such as [0.5, 1.0, 1.5]
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", bgr_to_rgb=True, seg_pad_val=255),
    backbone=dict(type="MAEViT"),
    decode_head=dict(
        type="UPerHead",
        channels=48,
        dropout_ratio=0.0,
        norm_cfg=dict(type="BN"),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss"),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide"),
)
train_dataloader = dict(num_workers=0, sampler=dict(type="DrawSampler"))
test_loader = dict(num_workers=0)
optim_wrapper = dict(
    type="FiniteOptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", betas=(0.9, 0.999), weight_decay=0.05, fused=True),
    paramwise_cfg=dict(layer_decay=0.8),
    clip_grad=dict(max_norm=5.0),
)
train_cfg = dict(by_epoch=True)
scratch = dict(optim_wrapper=dict(paramwise_cfg=dict(layer_decay=1.0)))  # for random weights
