"""Waiting in tests for what another thread or process does."""

import contextlib
import subprocess
import time


@contextlib.contextmanager
def started(command, **settings):
    """A process that does not outlive the block, however that ends."""
    with subprocess.Popen(command, **settings) as process:
        try:
            yield process
        finally:
            process.kill()  # nothing where it has ended


def until(is_so, *, within_s=20):
    """Return as soon as `is_so()`; fail where that takes too long."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        time.sleep(0.02)
