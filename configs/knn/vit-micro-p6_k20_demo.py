# Weighted vote of the 20 nearest of all 10,000 garments.
_base_ = ["../_base_/demo.py", "../_base_/demo_features.py"]
stage = "knn"
k = 20
temperature = 0.07
