# A small encoder for microscopy images with small objects, near their own resolution, on CPUs.
#   mae-bench run nuclei
_base_ = "../_base_/pretrain_small.py"
encoder = dict(arch="vit-micro-p6", patch_size=8, width=128, heads=4, img_size=96)
mae = dict(decoder_width=64, decoder_depth=2, decoder_heads=2)
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    dataset=dict(data="data/nuclei/train", transform=dict(input_size=96, scale=(0.05, 0.25))),
)
preview = dict(data="data/nuclei/val", transform=dict(input_size=96))
optim_wrapper = dict(type="FiniteOptimWrapper", optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=300)
schedule = dict(warmup_epochs=20)
default_hooks = dict(checkpoint=dict(interval=50))
