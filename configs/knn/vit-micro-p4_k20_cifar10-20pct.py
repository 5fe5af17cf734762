# Weighted vote of the 20 nearest in a fifth of CIFAR-10, or of any images of 32×32 pixels.
_base_ = "../_base_/cifar10_features.py"
stage = "knn"
held_out = None  # share of the train images that chooses with layer="best", such as 0.1
k = 20
more_k = (10, 100)
temperature = 0.07
standardize = False  # features of length 1 alone, as published
