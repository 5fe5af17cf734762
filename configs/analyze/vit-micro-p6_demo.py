# Figures and ranks of an encoder's features of the demo's 2,000 test garments, beside random
# weights; 13 s on one core.
#   mae-bench analyze analyze/vit-micro-p6_demo --encoder ENCODER
_base_ = ["../_base_/demo.py", "../_base_/demo_features.py"]
stage = "analyze"
reference = "random"  # or a path
