# The last 0, 1/2, 1, 2, 4 and all 6 blocks, on a fortieth of the labels. With 0 blocks a
# new norm and the head are trained, which is no linear probe.
#   mae-bench partial-finetune partial_finetune/vit-micro-p6_1xb64-40e_demo-250 --encoder ENCODER
_base_ = "../finetune/vit-micro-p6_1xb64-40e_demo-250.py"
stage = "partial-finetune"
blocks = (0, 0.5, 1, 2, 4, 6)
