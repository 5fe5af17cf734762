"""What pretraining changed in an encoder: figures and ranks."""
