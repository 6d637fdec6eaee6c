import subprocess
import sys

import pytest

from swath.runtime.allocator import keep_freed_memory

# Page faults of the second half of forty blocks of 64 MB, each written and freed.
BLOCKS = """
import resource, sys
from swath.runtime.allocator import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit("no glibc")
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(40):
    before = faults() if number == 20 else before if number else 0
    block = bytearray(b"x") * 2**26
    del block
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone has mallopt")
def test_memory_that_was_freed_is_handed_out_again_without_page_faults():
    faults = {}
    for how in ("keep", "default"):
        done = subprocess.run(
            [sys.executable, "-c", BLOCKS, how], capture_output=True, text=True, check=False
        )
        if done.stderr.strip() == "no glibc":
            pytest.skip("this C library has no mallopt")
        faults[how] = int(done.stdout)
    assert faults["keep"] < 100
    assert faults["default"] > 100 * max(1, faults["keep"])


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
