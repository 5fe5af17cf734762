# UperNet with ViT-B on any images with masks, one GPU: the crop, and the windows through which
# images are looked at in tests, follow from the images' sizes, the epochs from the updates. Where
# there is no val_data, every fifth image is held out.
#   mae-bench segment segment/upernet_vit-base-p16_1xb16-amp-auto --encoder ENCODER \
#     -o data_root=data/mine -o "classes=['background','cell']"
_base_ = ["../_base_/upernet.py", "../_base_/auto_schedule.py"]
data_root = "data/mine"
train_data = dict(images="images", masks="masks")  # or such as masks="masks/{name}_mask.png"
val_data = None  # or a dict like train_data
classes = None  # names in the order of the masks' values
pixel_values = None  # the value of each class, if not 0, 1, 2, ..., or its colour, "#ff0000"
ignored = []  # values without a class, beside 255
updates = 8000
size_divisor = 32
encoder = dict(arch="vit-base-p16", drop_path=0.1)
image = dict(scale=None, crop=None)
model = dict(backbone=dict(layers=[3, 5, 7, 11]), decode_head=dict(channels=512))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay=0.65))
train_dataloader = dict(batch_size=16)
scratch = dict(updates=16000, optim_wrapper=dict(paramwise_cfg=dict(layer_decay=1.0)))
