"""Measurements of this project against what it stands on, side by side in one run: ``python -m benchmarks NAME``."""
