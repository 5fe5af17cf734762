"""Annotations of other tools as COCO JSON: a reader for each format, and what all of them share."""
