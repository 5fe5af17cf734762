"""Few-shot classification: N-way K-shot episodes on frozen features."""
