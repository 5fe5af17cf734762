"""Data: the demo set made from Fashion-MNIST, as ordinary image folders and COCO files."""
