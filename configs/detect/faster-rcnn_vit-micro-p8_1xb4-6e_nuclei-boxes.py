# Boxes of nuclei without masks: the recipe beside it, whose annotations have none, so that it is
# Faster R-CNN (arXiv 1506.01497). docs/examples.md makes the annotations.
_base_ = "mask-rcnn_vit-micro-p8_1xb4-6e_nuclei.py"
train_data = dict(annotations="boxes_train.json")
val_data = dict(annotations="boxes_val.json")
