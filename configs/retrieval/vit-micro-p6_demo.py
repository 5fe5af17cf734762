# The 2,000 test garments are searched for among the 10,000 train garments.
_base_ = ["../_base_/demo.py", "../_base_/demo_features.py"]
stage = "retrieval"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
held_out = None  # share of the train images that chooses with layer="best", such as 0.1
gallery = "train"  # what is searched; "val": the val images, but for the query and its group
ks = (1, 5, 10)  # of recall
standardize = False  # features of length 1 alone, as is usual
