# UperNet with ViT-L on ADE20K: mmsegmentation's recipe for ViT-B, which has none for ViT-L. The
# paper's 53.6 (Table 5) has another one, see upernet_vit-large-p16_8xb2-amp-100e_ade20k.
_base_ = ["../_base_/upernet_160k.py", "../_base_/ade20k.py"]
encoder = dict(arch="vit-large-p16", drop_path=0.2)
model = dict(backbone=dict(layers=[7, 11, 15, 23]), decode_head=dict(channels=1024))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.75))
