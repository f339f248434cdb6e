"""Checkpoints of the reference family, read and written."""
