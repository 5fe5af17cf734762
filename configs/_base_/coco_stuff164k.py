# COCO-Stuff 164k, 171 classes, from its "stuffthingmaps" as they are: values are category ids less
# 1, of which eleven are not used. 22 epochs of 118,287 images are 160,000 updates.
data_root = "data/coco_stuff164k"
train_data = dict(images="images/train2017", masks="annotations/train2017")
val_data = dict(images="images/val2017", masks="annotations/val2017")
classes = "COCOStuffDataset"  # of mmseg
pixel_values = [v for v in range(182) if v not in (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)]
train_cfg = dict(by_epoch=True, max_epochs=22)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, begin=0.2, end=22, by_epoch=True, convert_to_iter_based=True),
]
scratch = dict(  # for random weights, ours: one rate for all layers, twice the epochs
    optim_wrapper=dict(paramwise_cfg=dict(layer_decay=1.0)),
    train_cfg=dict(max_epochs=44),
    param_scheduler=[
        dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
        dict(type="PolyLR", power=1.0, begin=0.2, end=44, by_epoch=True)
        | dict(convert_to_iter_based=True),
    ],
)
