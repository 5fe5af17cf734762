# The last blocks of ViT-L/16 fine-tuned, 50 epochs (paper, 4.4 and Fig. 9): there 73.5 % top-1 with
# none, 79.1 % with half a block, 81.0 % with one.
#   mae-bench partial-finetune CONFIG --encoder ENCODER
_base_ = "../finetune/vit-large-p16_8xb128-amp-coslr-50e_in1k.py"
stage = "partial-finetune"
blocks = (0, 0.5, 1, 2, 4, 6, 12, 18, 24)
