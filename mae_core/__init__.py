"""Masked-autoencoder pretraining: encoder, masking, decoder, objective, checkpoints, engine."""

from importlib import import_module
from typing import TYPE_CHECKING

from mae_core.errors import UserError

__all__ = ["MAE", "UserError", "create_encoder", "create_model", "load_weights"]

if TYPE_CHECKING:
    from mae_core.checkpoints import load_weights
    from mae_core.encoders import create_encoder
    from mae_core.methods.mae import MAE, create_model
else:
    # Imported when they are first asked for: with them come torch and timm, three seconds that
    # nothing pays that only needs a light module of this package, such as the command line's help.
    PLACES = {
        "MAE": "methods.mae",
        "create_encoder": "encoders",
        "create_model": "methods.mae",
        "load_weights": "checkpoints",
    }

    def __getattr__(name: str) -> object:
        if name not in PLACES:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        return getattr(import_module(f"{__name__}.{PLACES[name]}"), name)
