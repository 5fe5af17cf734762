# ViT-L/16 on ImageNet-1k and its variants. Official fine-tuned weights must give 85.95 % on val:
#   mae-bench evaluate CONFIG --encoder mae_finetuned_vit_large.pth
# The sets that you do not have: override `sets`, or copy this file.
_base_ = "../_base_/evaluate_in1k.py"
encoder = dict(arch="vit-large-p16")
