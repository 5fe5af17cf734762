"""What detection and segmentation share: the backbone, its pyramids, annotated data."""
