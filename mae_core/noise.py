"""Random numbers that depend on a seed alone: the same on every device, in every batch."""

import torch
from torch import Tensor

# SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", 4)
GOLDEN = 0x9E3779B97F4A7C15
MIX = (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)
BITS = 24  # of a float32 in [0, 1)


def uniform(seeds: Tensor, count: int) -> Tensor:
    """(N,) int64 seeds -> (N, count) float32 in [0, 1), row i from seed i alone."""
    steps = torch.arange(1, count + 1, device=seeds.device) * _signed(GOLDEN)
    state = _scramble(seeds).unsqueeze(1) + steps
    return _shift(_scramble(state), 64 - BITS) * 2.0**-BITS


def _scramble(state: Tensor) -> Tensor:
    for shift, factor in MIX:
        state = (state ^ _shift(state, shift)) * _signed(factor)
    return state ^ _shift(state, 31)


def _shift(state: Tensor, bits: int) -> Tensor:
    """Shift right with zeros, as of unsigned numbers."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _signed(number: int) -> int:
    """The int64 with the bits of an unsigned 64-bit number; products wrap alike."""
    return number - (1 << 64) if number >> 63 else number
