# Figures and ranks of an encoder's features on 2,000 of the demo's garments, beside random weights.
#   mae-bench analyze analyze/vit-micro-p6_demo --encoder ENCODER
_base_ = ["../_base_/demo.py", "../_base_/demo_features.py"]
stage = "analyze"
reference = "random"  # or a path
val_data = dict(per_class=200)
