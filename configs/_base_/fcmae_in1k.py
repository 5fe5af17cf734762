# FCMAE on ImageNet-1k (ConvNeXt V2, arXiv 2301.00808, 3 and A.1): optimizer, schedule, crop and
# batch are MAE's. What differs: GRN is of each image, see docs/methods.md; bfloat16.
_base_ = "pretrain_in1k.py"
method = "fcmae"
mae = dict(_delete_=True)
fcmae = dict(mask_ratio=0.6, norm_pix_loss=True, decoder_width=512, decoder_depth=1)
train_cfg = dict(max_epochs=1600)
