# CIFAR-10's test images are searched for among a fifth of its train images; or any images of 32×32
# pixels.
_base_ = "../_base_/cifar10_features.py"
stage = "retrieval"
held_out = None  # share of the train images that chooses with layer="best", such as 0.1
gallery = "train"  # what is searched; "val": the val images, but for the query and its group
ks = (1, 5, 10)  # of recall
standardize = False  # features of length 1 alone, as is usual
