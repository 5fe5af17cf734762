# 600 episodes for each setting, 15 queries a class, as is usual since Vinyals et al. 2016. The ten
# classes are those that the demo pretrains on, without labels: there are no novel ones to draw.
_base_ = ["../_base_/demo.py", "../_base_/demo_features.py"]
stage = "few-shot"
layer = None  # of the encoder: a number from 0 on, or "best"; None is the last
held_out = None  # share of the train images that chooses with layer="best", such as 0.1
episodes = 600
queries = 15
settings = [(5, 1), (5, 5), (10, 1), (10, 5)]
heads = ("centroid", "logistic", "ridge")  # the first is the headline
standardize = False  # features of length 1 alone, as published
novel_classes = None  # names of val classes that the pretraining has not seen, to draw from
