# 600 episodes for each setting on CIFAR-10's classes, which a pretraining has seen without labels.
_base_ = "../_base_/cifar10_features.py"
stage = "few-shot"
episodes = 600
queries = 15
settings = [(5, 1), (5, 5), (10, 1), (10, 5)]
heads = ("centroid", "logistic", "ridge")  # the first is the headline
standardize = False  # features of length 1 alone, as published
held_out = None  # share of the train images that chooses with layer="best", such as 0.1
novel_classes = None  # names of val classes that the pretraining has not seen, to draw from
