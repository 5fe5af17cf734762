"""Data: sources of images, decoding, crops, loading, and the demo's own set."""
