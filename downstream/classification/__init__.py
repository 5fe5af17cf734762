"""Image classification: fine-tuning, linear probe, kNN, few labels, other test sets."""
