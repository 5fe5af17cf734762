# As the one without `_continued`, from the encoder that `mae-bench run demo` left in MLflow.
_base_ = "vit-micro-p6_1xb128-coslr-6e_cifar10-20pct.py"
start = "models:/mae-encoder@best-linear"
