# ViT-H/14 on ImageNet-1k and its variants. Official fine-tuned weights must give 86.93 % on val:
#   mae-bench evaluate CONFIG --encoder mae_finetuned_vit_huge.pth
# The sets that you do not have: override `sets`, or copy this file.
_base_ = "../_base_/evaluate_in1k.py"
encoder = dict(arch="vit-huge-p14")
