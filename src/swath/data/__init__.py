"""Imagery on disk, and the files that stand between it and training."""
