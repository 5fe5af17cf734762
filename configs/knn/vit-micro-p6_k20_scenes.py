# Which kinds of garments are seen, by the 20 nearest scenes.
_base_ = "../_base_/scenes_features.py"
stage = "knn"
held_out = None  # share of the train images that chooses with layer="best", such as 0.1
k = 20
more_k = ()
temperature = 0.07
standardize = False  # features of length 1 alone, as published
metrics = ["auroc", "macro_f1"]
