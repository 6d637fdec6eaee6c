"""What the C library does with memory that a process frees."""

import ctypes
import sys

# From malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Keep freed memory for what is asked for next; returns whether the C library is one that can (glibc).

    By default glibc maps every large block anew and gives it back at once, so that each step of training has
    the kernel clear and hand out its memory again: 250,000 page faults and a tenth to a sixth of the time of
    a step of ViT-S/16 (bfloat16, one core of an AMD EPYC). A process that trains needs that memory again in
    the next step anyway; others should not call this.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))
