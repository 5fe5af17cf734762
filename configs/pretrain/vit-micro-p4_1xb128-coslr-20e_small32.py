# MAE on images of 32×32 pixels, such as CIFAR-10's, on a few CPU cores. Losses: docs/recipes.md.
#   mae-bench pretrain pretrain/vit-micro-p4_1xb128-coslr-20e_small32
_base_ = "../_base_/pretrain_small.py"
encoder = dict(arch="vit-micro-p6", patch_size=4, img_size=32)
mae = dict(decoder_width=64, decoder_depth=2, decoder_heads=4)
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    dataset=dict(data="data/train", transform=dict(input_size=32)),
)
preview = dict(data=None, transform=dict(input_size=32, crop_pct=1.0))  # None: the train images
optim_wrapper = dict(type="FiniteOptimWrapper", optimizer=dict(lr=4e-3))  # faster than bfloat16
train_cfg = dict(max_epochs=20)
schedule = dict(warmup_epochs=1)
