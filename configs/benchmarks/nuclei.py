# Instance and semantic segmentation of nuclei in microscopy images (2018 Data Science Bowl,
# stage 1, 531 train and 133 val images), on 2 CPU cores. docs/dense.md has the table.
#   mae-bench run nuclei
seed = 0
slots = 2  # stages side by side, each with the threads of its config
pretrain = "pretrain/vit-micro-p8_1xb128-coslr-300e_nuclei"
encoders = ["mae", "random"]
repeats = {}  # runs of a stage, each with another seed, such as {"pretrain": 3, "detect": 1}
tasks = {
    "detect": "detect/mask-rcnn_vit-micro-p8_1xb4-6e_nuclei",
    "segment": "segment/upernet_vit-micro-p8_1xb16-12e_nuclei",
}
