# What a sweep may leave out.
overrides = []  # of the recipe, in every trial
tasks = None  # of the recipe; all of them without it
sampler = "grid"  # every combination of the values, or "tpe": next to what was best so far
trials = None  # how many, for "tpe"
pruning = dict()  # or dict(metric="val/knn/top1", first=0.25, keep=0.5), see docs/sweeps.md
