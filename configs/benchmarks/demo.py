# The whole chain on real photos of garments, on 2 CPU cores in about 10 minutes.
#   mae-bench run demo
# Rows are encoders, columns are tasks. Stage configs are named as under configs/. Cheap tasks run
# with three seeds. There is one pretraining, of 24 epochs: three of 8, which take as long, have
# little effect. With repeats["pretrain"] = 3 verdicts are about pretrainings, not this one alone.
seed = 0
slots = 2  # stages side by side, each with the threads of its config
pretrain = "pretrain/vit-micro-p6_1xb128-24e_demo"
supervised = "supervise/vit-micro-p6_1xb128-5e_demo"  # makes the row 'supervised'
encoders = ["mae", "random", "supervised"]
repeats = {"finetune": 3, "linear-probe": 3, "knn": 3, "few-shot": 3}  # runs, with other seeds
tasks = {  # the longest first: in this order they have their slots in a first run
    "segment": "segment/upernet_vit-micro-p6_1xb20-14e_demo",
    "detect": "detect/mask-rcnn_vit-micro-p6_1xb4-2e_demo",
    "finetune": "finetune/vit-micro-p6_1xb64-40e_demo-250",
    "linear-probe": "linear_probe/vit-micro-p6_1xb500-25e_demo",
    "knn": "knn/vit-micro-p6_k20_demo",
    "few-shot": "few_shot/vit-micro-p6_600ep_demo",
}
