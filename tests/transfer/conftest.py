"""The fixtures of tests/striped_run.py."""

from striped_run import float32, make_pack, make_run

__all__ = ["float32", "make_pack", "make_run"]
