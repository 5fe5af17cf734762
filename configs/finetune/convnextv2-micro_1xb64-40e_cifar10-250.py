# As for the ViT, with the small ConvNeXt V2 of pretrain/fcmae_convnextv2-micro as `random`.
_base_ = "vit-micro-p4_1xb64-40e_cifar10-250.py"
encoder = dict(
    _delete_=True,
    arch="timm:convnextv2_atto",
    img_size=32,
    in_chans=3,
    options=dict(patch_size=1, depths=[1, 1, 2, 1], dims=[16, 32, 64, 128], conv_mlp=False),
    drop_path=0.1,
)
