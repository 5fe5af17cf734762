# Weighted vote of the 20 nearest of all 10,000 garments.
_base_ = ["../_base_/demo.py", "../_base_/demo_features.py"]
stage = "knn"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
held_out = None  # share of the train images that chooses with layer="best", such as 0.1
k = 20  # of the headline; the vote of the others is shown beside
more_k = (10, 100)
temperature = 0.07
standardize = False  # features of length 1 alone, as published
