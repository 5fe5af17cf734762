# COCO 2017's instances, at 1024 pixels with large-scale jitter (ViTDet, arXiv 2203.16527, A.2).
data_root = "data/coco"
train_data = dict(images="train2017", annotations="annotations/instances_train2017.json")
val_data = dict(images="val2017", annotations="annotations/instances_val2017.json")
image = dict(size=1024, jitter=(0.1, 2.0), crop=None, flip=0.5)
max_detections = 100  # of an image
