# Linear probing on ImageNet-1k as in the paper's appendix (arXiv 2111.06377, A.1, Table 10): LARS,
# no weight decay, batch 16384, crop and flip alone, the class token. Table 10 has 90 epochs for all
# sizes, FINETUNE.md of facebookresearch/mae finds 50 enough for large and huge. What differs:
# bfloat16, and the batch norm's statistics are those of the last images that each device saw.
_base_ = "labelled_in1k.py"
stage = "linear-probe"
pool = "cls"
layer = None  # of the encoder: a number from 0 on; None is the last
effective_batch = 16384
train_dataloader = dict(batch_size=2048)
val_dataloader = dict(batch_size=512)
optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    constructor="LarsConstructor",
    optimizer=dict(type="Lars", lr=0.1, momentum=0.9, weight_decay=0.0),
)
schedule = dict(warmup_epochs=10)
