"""Image classification: fine-tuning, linear probe, kNN, and few-shot on frozen features."""
