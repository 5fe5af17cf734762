# Detection of nuclei from boxes alone, on 2 CPU cores in under an hour. docs/examples.md.
#   mae-bench run boxes
seed = 0
slots = 2  # stages side by side, each with the threads of its config
pretrain = "pretrain/vit-micro-p8_1xb128-coslr-300e_nuclei"  # that of the recipe nuclei
encoders = ["mae", "random"]
repeats = {}  # runs of a stage, each with another seed, such as {"pretrain": 3, "detect": 1}
tasks = {"detect": "detect/faster-rcnn_vit-micro-p8_1xb4-6e_nuclei-boxes"}
