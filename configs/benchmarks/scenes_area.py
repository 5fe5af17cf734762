# How many pixels garments cover: a number for each image, docs/examples.md.
#   mae-bench run scenes_area
seed = 0
slots = 2  # stages side by side, each with the threads of its config
pretrain = "pretrain/vit-micro-p6_1xb128-coslr-20e_scenes"
encoders = ["mae", "random", "pixels"]
repeats = {}  # runs of a stage, each with another seed, such as {"pretrain": 3, "knn": 1}
tasks = {
    "linear-probe": "linear_probe/vit-micro-p6_1xb512-60e_scenes_area",
    "knn": "knn/vit-micro-p6_k20_scenes_area",
}
