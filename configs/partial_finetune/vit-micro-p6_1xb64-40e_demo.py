# The last 0, 1/2, 1, 2, 4 and all 6 blocks, on a twentieth of the demo's labels; about 7 minutes on
# 2 cores. With 0 blocks a new norm and the head are trained, which is no linear probe.
#   mae-bench partial-finetune partial_finetune/vit-micro-p6_1xb64-40e_demo --encoder ENCODER
_base_ = "../finetune/vit-micro-p6_1xb64-40e_demo-5pct.py"
stage = "partial-finetune"
blocks = (0, 0.5, 1, 2, 4, 6)
