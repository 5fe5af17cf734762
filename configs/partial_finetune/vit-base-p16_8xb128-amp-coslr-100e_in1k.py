# The last blocks of ViT-B/16 fine-tuned by Table 9 (paper, 4.3, A.1 and Fig. 9, where it is ViT-L).
# What differs: 100 epochs for each number of blocks, and 0 blocks are no linear probe, see ViT-L's.
#   mae-bench partial-finetune CONFIG --encoder ENCODER
_base_ = "../finetune/vit-base-p16_8xb128-amp-coslr-100e_in1k-table9.py"
stage = "partial-finetune"
blocks = (0, 0.5, 1, 2, 4, 8, 12)
