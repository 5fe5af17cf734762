"""Image retrieval: all images in the order of how alike their frozen features are to a query."""
