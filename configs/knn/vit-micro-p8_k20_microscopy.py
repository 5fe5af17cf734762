# Few or many nuclei, by the vote of the 20 nearest tiles.
_base_ = "../_base_/microscopy.py"
stage = "knn"
held_out = None  # share of the train images that chooses with layer="best", such as 0.1
k = 20
more_k = (10, 100)
temperature = 0.07
standardize = False  # features of length 1 alone, as published
