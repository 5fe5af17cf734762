"""What is done with few labels."""

METHODS = {"probe": "linear classifier", "finetune": "fine-tuned"}
