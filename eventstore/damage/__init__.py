"""Damaged logs: what still stands in their files, and how a log is looked over."""
