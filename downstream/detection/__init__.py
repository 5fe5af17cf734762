"""Detection and instance segmentation: Mask R-CNN through mmdet."""
