# The same as rgbd without depth: what does depth help? docs/examples.md.
#   mae-bench run rgbd_colours
_base_ = "../benchmarks/rgbd.py"
pretrain = "pretrain/vit-micro-p6_1xb128-coslr-20e_rgbd_colours"
tasks = {"finetune": "finetune/vit-micro-p6_1xb64-20e_rgbd_colours"}
