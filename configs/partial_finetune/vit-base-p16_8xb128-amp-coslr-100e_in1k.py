# The last blocks of ViT-B/16 fine-tuned (paper, 4.4 and Fig. 9, where it is ViT-L for 50 epochs).
#   mae-bench partial-finetune CONFIG --encoder ENCODER
_base_ = "../finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k.py"
stage = "partial-finetune"
blocks = (0, 0.5, 1, 2, 4, 8, 12)
