"""Semantic segmentation: UperNet through mmseg."""
