"""Sweeps: a benchmark's recipe run for many values of its keys."""
