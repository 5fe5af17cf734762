# Weighted vote of the 20 nearest of all 10,000 garments.
_base_ = ["../_base_/demo.py", "../_base_/demo_features.py"]
stage = "knn"
k = 20  # of the headline; the vote of the others is shown beside
more_k = (10, 100)
temperature = 0.07
standardize = False  # features of length 1 alone, as published
