"""What keys the configs of stages have: the groups of them that cards are made of.

A key that no code reads would be ignored in silence, so a card names all that its stage reads, and
others are refused (`pipelines/stages.py`). A test compares the cards with the code.
"""

Keys = tuple[str, ...]

# Of each stage, and what each config inherits from `_base_/runtime.py`.
EVERY: Keys = (
    "stage",
    "seed",
    "threads",
    "devices",
    "encoder",
    "pixels",
    "protocol",
    "custom_imports",
    "default_scope",
    "default_hooks",
    "env_cfg",
    "log_level",
)
# Of a training, see mae_core.engine.train.build_runner.
TRAINING: Keys = (
    "train_dataloader",
    "train_cfg",
    "optim_wrapper",
    "schedule",
    "param_scheduler",
    "auto_scale_lr",
    "effective_batch",
    "ema",
    "divergence",
    "max_unreadable",
    "report_interval",
    "sharded",
    "activation_checkpointing",
    "custom_hooks",
)
TESTED: Keys = ("val_dataloader", "val_cfg", "val_evaluator")  # beside it
CLASSIFIER: Keys = (*EVERY, *TRAINING, *TESTED, "classifier", "mixing", "scratch")
FROZEN: Keys = ("train_data", "val_data", "pool", "layer", "batch_size", "num_workers")
DENSE: Keys = (
    *EVERY,
    *TRAINING,
    "data_root",
    "train_data",
    "val_data",
    "image",
    "model",
    "test_loader",
    "updates",
    "resample_patches",
    "scratch",
)
