# UperNet with ViT-L on ADE20K for the paper's 100 epochs (A.4). Published, pretrained by MAE on
# ImageNet-1k: 53.6 mIoU (Table 5), with a rate that was searched and is not published: search it
# (optim_wrapper.optimizer.lr), on a part of the train images.
_base_ = "upernet_vit-large-p16_8xb2-amp-160k_ade20k.py"
train_cfg = dict(max_epochs=100)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, begin=1.2, end=100, by_epoch=True, convert_to_iter_based=True),
]
scratch = dict(
    train_cfg=dict(max_epochs=200),
    param_scheduler=[
        dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
        dict(type="PolyLR", power=1.0, begin=1.2, end=200, by_epoch=True)
        | dict(convert_to_iter_based=True),
    ],
)
