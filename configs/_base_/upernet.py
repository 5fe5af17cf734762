# UperNet on a plain encoder, as in the paper's appendix (arXiv 2111.06377, A.4) after BEiT: maps of
# four blocks, resized to 4, 2, 1 and 1/2, batch 16.
_base_ = "runtime.py"
stage = "segment"
default_scope = "mmseg"
seed = 0
threads = 8  # of each process, see docs/training.md
encoder = dict(img_size=224, in_chans=3)
pixels = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # ImageNet's, 0 to 255
protocol = "own"  # whose pixels, size and crop: the weights' own, or the "same", these, for all
image = dict(scale=(2048, 512), jitter=(0.5, 2.0), crop=512, flip=0.5, photometric=True)
background_weight = None  # in the loss, where classes have 1
multiscale = None  # factors of the scale for a second test, [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
norm = dict(type="SyncBN")
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        bgr_to_rgb=True,
        seg_pad_val=255,
        test_cfg=dict(size_divisor=32),  # images narrower than a window
    ),
    backbone=dict(type="MAEViT"),
    neck=dict(type="Feature2Pyramid", rescales=[4, 2, 1, 0.5], norm_cfg=norm),
    decode_head=dict(
        type="UPerHead",
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1,
        norm_cfg=norm,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss"),
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        norm_cfg=norm,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(341, 341)),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DrawSampler"),
)
test_loader = dict(batch_size=1, num_workers=4)
optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    constructor="LayerDecayConstructor",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05, fused=True),
)
auto_scale_lr = dict(base_batch_size=16, enable=True)
