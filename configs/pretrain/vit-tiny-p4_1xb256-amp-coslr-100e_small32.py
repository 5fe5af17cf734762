# MAE on images of 32×32 pixels, such as CIFAR-10's, on one GPU. Not run here.
#   mae-bench pretrain pretrain/vit-tiny-p4_1xb256-amp-coslr-100e_small32
_base_ = "../_base_/pretrain_small.py"
encoder = dict(arch="vit-tiny-p16", patch_size=4, img_size=32)
mae = dict(decoder_width=128, decoder_depth=4, decoder_heads=4)
train_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    dataset=dict(data="data/train", transform=dict(input_size=32)),
)
preview = dict(data=None, transform=dict(input_size=32, crop_pct=1.0))  # None: the train images
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=100)
schedule = dict(warmup_epochs=5)
default_hooks = dict(checkpoint=dict(interval=5))
