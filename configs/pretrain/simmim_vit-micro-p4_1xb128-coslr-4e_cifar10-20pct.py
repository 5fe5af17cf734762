# SimMIM on a fifth of CIFAR-10's train images, of the same ViT as the MAE and for as long: its
# encoder sees all patches, so it has half of the epochs.
_base_ = "vit-micro-p4_1xb128-coslr-20e_cifar10-20pct.py"
method = "simmim"
mae = dict(_delete_=True)
simmim = dict(mask_ratio=0.6, norm_pix_loss=False)
train_cfg = dict(max_epochs=4)
