"""Measurements: ratios taken side by side in one run. Results are in RESULTS.md."""
