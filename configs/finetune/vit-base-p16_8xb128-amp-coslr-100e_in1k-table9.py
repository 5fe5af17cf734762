# ViT-B/16, 100 epochs, with the numbers of the paper's Table 9 (arXiv 2111.06377, A.1): rate 1e-3,
# layer decay 0.75, no erasing. There 83.6 % top-1 after pretraining for 1600 epochs (Table 3).
#   mae-bench finetune finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k-table9 --encoder ENCODER
_base_ = "../finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k.py"
encoder = dict(drop_path=0.1)
train_dataloader = dict(dataset=dict(transform=dict(re_prob=0.0)))
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(layer_decay=0.75))
