# The whole chain on real photos of garments, on 2 CPU cores in about 8 minutes.
#   mae-bench run demo
# Rows are encoders, columns are tasks. Stage configs are named as under configs/. Three short
# pretrainings and everything cheap three times, so that its verdicts are about more than one
# training; detection and segmentation, which take the longest, run once a row.
seed = 0
slots = 2  # stages side by side, each with the threads of its config
pretrain = "pretrain/vit-micro-p6_1xb128-8e_demo"
supervised = "supervise/vit-micro-p6_1xb128-7e_demo"  # makes the row 'supervised'
encoders = ["mae", "random", "supervised"]
repeats = {"pretrain": 3, "detect": 1, "segment": 1}  # runs, each with another seed
tasks = {  # the longest first: in this order they have their slots in a first run
    "segment": "segment/upernet_vit-micro-p6_1xb20-16e_demo",
    "detect": "detect/mask-rcnn_vit-micro-p6_1xb4-2e_demo",
    "finetune": "finetune/vit-micro-p6_1xb64-60e_demo-250",
    "linear-probe": "linear_probe/vit-micro-p6_1xb500-25e_demo",
    "knn": "knn/vit-micro-p6_k20_demo",
    "few-shot": "few_shot/vit-micro-p6_600ep_demo",
}
