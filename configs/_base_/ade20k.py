# ADE20K's 150 classes; 0 in its masks is no class. 127 epochs of 20,210 images are 160,000 updates.
data_root = "data/ade20k"
train_data = dict(images="images/training", masks="annotations/training")
val_data = dict(images="images/validation", masks="annotations/validation")
classes = "ADE20KDataset"  # of mmseg
pixel_values = list(range(1, 151))
ignored = [0]
train_cfg = dict(by_epoch=True, max_epochs=127)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, begin=1.2, end=127, by_epoch=True, convert_to_iter_based=True),
]
scratch = dict(  # for random weights, ours: one rate for all layers, twice the epochs
    optim_wrapper=dict(paramwise_cfg=dict(layer_decay=1.0)),
    train_cfg=dict(max_epochs=254),
    param_scheduler=[
        dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
        dict(type="PolyLR", power=1.0, begin=1.2, end=254, by_epoch=True)
        | dict(convert_to_iter_based=True),
    ],
)
