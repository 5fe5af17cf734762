"""LAMB (You et al. 2019, arXiv 1904.00962) of timm, as SparK trains with it."""

from mmengine.registry import OPTIMIZERS
from timm.optim import Lamb

OPTIMIZERS.register_module(name="Lamb", module=Lamb)
