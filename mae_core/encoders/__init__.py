"""Encoders: one interface, a module for each family, and all of them by name."""

from mae_core.encoders.base import Encoder
from mae_core.encoders.registry import create_encoder, register_encoder

__all__ = ["Encoder", "create_encoder", "register_encoder"]
