# SparK of ResNet-50 on ImageNet-1k (arXiv 2301.03580, 4.1): LAMB, a batch of 4096, the rate 2e-4
# for 256 images, crop and flip alone. Not run here.
#   mae-bench pretrain pretrain/spark_resnet50_8xb128-amp-coslr-1600e_in1k --devices 8
# Fine-tunes to 80.6 % top-1 (paper, Table 2). Warm-up, decay and clipping are those of the
# published code, whose decay rises to 0.2 and whose batch norms share statistics among devices;
# the decoder's norms are over channels, see docs/methods.md.
_base_ = "../_base_/pretrain_in1k.py"
method = "spark"
encoder = dict(arch="timm:resnet50")
mae = dict(_delete_=True)
spark = dict(mask_ratio=0.6, norm_pix_loss=True, decoder_width=512)
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type="Lamb",
        lr=2e-4,
        betas=(0.9, 0.95),
        weight_decay=0.04,
        max_grad_norm=5.0,
    )
)
train_cfg = dict(max_epochs=1600)
