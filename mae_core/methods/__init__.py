"""Methods of pretraining: one interface, a module for each, and all of them by name."""

from mae_core.methods.base import Method
from mae_core.methods.registry import create_method, register_method

__all__ = ["Method", "create_method", "register_method"]
