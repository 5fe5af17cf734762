# FCMAE on images of 32×32 pixels, such as CIFAR-10's, on a few CPU cores: a small ConvNeXt V2 that
# begins with pixels, so that its last stride is 8 and an image has 16 patches to mask.
#   mae-bench pretrain pretrain/fcmae_convnextv2-micro_1xb128-coslr-20e_small32
_base_ = "vit-micro-p4_1xb128-coslr-20e_small32.py"
method = "fcmae"
encoder = dict(
    _delete_=True,
    arch="timm:convnextv2_atto",
    img_size=32,
    in_chans=3,
    options=dict(
        patch_size=1,
        depths=[1, 1, 2, 1],
        dims=[16, 32, 64, 128],
        conv_mlp=False,  # the same with layers that are faster on CPUs
    ),
)
mae = dict(_delete_=True)
fcmae = dict(mask_ratio=0.6, norm_pix_loss=True, decoder_width=64, decoder_depth=1)
