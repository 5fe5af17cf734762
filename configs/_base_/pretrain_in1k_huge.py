# ViT-H/14. The encoder's blocks forget what they computed and compute it again in the backward
# pass: less memory, the same gradients.
_base_ = "pretrain_in1k.py"
encoder = dict(arch="vit-huge-p14")
activation_checkpointing = [f"mae.encoder.blocks.{i}" for i in range(32)]
