# What made a sound, by a linear classifier on frozen features of its spectrogram.
_base_ = ["../_base_/sounds.py", "../_base_/linear_probe_small.py"]
train_dataloader = dict(batch_size=512)
