# Frozen features of the demo's garments, shared by linear probe, kNN, retrieval and few-shot.
pool = "avg"
batch_size = 500
num_workers = 0
train_data = dict(data="demo/classification/train", transform=dict(input_size=30, crop_pct=1.0))
val_data = dict(data="demo/classification/test", transform=dict(input_size=30, crop_pct=1.0))
