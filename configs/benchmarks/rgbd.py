# Which garment is nearest, from colours with depth; rgbd_colours is the same without depth.
#   mae-bench run rgbd
#   mae-bench run rgbd_colours
seed = 0
slots = 2  # stages side by side, each with the threads of its config
pretrain = "pretrain/vit-micro-p6_1xb128-coslr-20e_rgbd"
encoders = ["mae"]
repeats = {}  # runs of a stage, each with another seed, such as {"pretrain": 3, "finetune": 1}
tasks = {"finetune": "finetune/vit-micro-p6_1xb64-20e_rgbd"}
