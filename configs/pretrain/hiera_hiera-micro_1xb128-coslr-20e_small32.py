# MAE of a small Hiera on images of 32×32 pixels, such as CIFAR-10's, on a few CPU cores: it begins
# with pixels, so that a mask unit has 8 of them and an image 16 units.
#   mae-bench pretrain pretrain/hiera_hiera-micro_1xb128-coslr-20e_small32
_base_ = "vit-micro-p4_1xb128-coslr-20e_small32.py"
method = "hiera"
encoder = dict(
    _delete_=True,
    arch="timm:hiera_tiny_224",
    img_size=32,
    in_chans=3,
    options=dict(
        embed_dim=16,
        stages=[1, 1, 3, 1],
        patch_kernel=[3, 3],
        patch_stride=[1, 1],
        patch_padding=[1, 1],
    ),
)
mae = dict(_delete_=True)
hiera = dict(mask_ratio=0.6, norm_pix_loss=True, decoder_width=64, decoder_depth=2, decoder_heads=4)
