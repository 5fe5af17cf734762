# Photos as stacks of twelve bands of 16 bits: is pretraining on them worth it? docs/examples.md.
#   mae-bench run bands
seed = 0
slots = 2  # stages side by side, each with the threads of its config
pretrain = "pretrain/vit-micro-p4_1xb128-coslr-20e_bands"
encoders = ["mae", "random"]
repeats = {}  # runs of a stage, each with another seed, such as {"pretrain": 3, "finetune": 1}
tasks = {
    "finetune": "finetune/vit-micro-p4_1xb64-40e_bands-250",
    "linear-probe": "linear_probe/vit-micro-p4_1xb512-60e_bands",
}
