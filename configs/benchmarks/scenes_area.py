# How many pixels garments cover: a number for each image, docs/examples.md.
#   mae-bench run scenes_area
_base_ = "../benchmarks/scenes.py"
tasks = {
    "linear-probe": "linear_probe/vit-micro-p6_1xb512-60e_scenes_area",
    "knn": "knn/vit-micro-p6_k20_scenes_area",
}
