# Sounds as spectrograms of one band: is pretraining on them worth it? docs/examples.md.
#   mae-bench run sounds
seed = 0
slots = 2  # stages side by side, each with the threads of its config
pretrain = "pretrain/vit-micro-p8_1xb128-coslr-20e_sounds"
encoders = ["mae", "random", "pixels"]
repeats = {}  # runs of a stage, each with another seed, such as {"pretrain": 3, "knn": 1}
tasks = {
    "linear-probe": "linear_probe/vit-micro-p8_1xb512-60e_sounds",
    "knn": "knn/vit-micro-p8_k20_sounds",
}
