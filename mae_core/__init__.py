"""Masked-autoencoder pretraining: encoder, masking, decoder, objective, checkpoints, engine."""

from mae_core.checkpoints import load_weights
from mae_core.errors import UserError
from mae_core.models import create_encoder, create_model

__all__ = ["UserError", "create_encoder", "create_model", "load_weights"]
