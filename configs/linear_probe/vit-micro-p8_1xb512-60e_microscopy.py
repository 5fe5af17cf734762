# Few or many nuclei, by a linear classifier on frozen features of tiles of 16 bits.
_base_ = ["../_base_/microscopy.py", "../_base_/linear_probe_small.py"]
train_dataloader = dict(batch_size=512)
