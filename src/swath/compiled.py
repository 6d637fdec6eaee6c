"""Loops over numbers, compiled for this processor by numba when they are first called.

What they were compiled to is kept beside their file, or in the user's cache.
"""

from collections.abc import Callable
from typing import Any

import numba

Loop = Callable[..., Any]


def compiled(function: Loop) -> Loop:
    """Other threads go on meanwhile; sums may be taken in any order, which lets them use all lanes."""
    settings: Any = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}
    loop: Loop
    try:
        loop = numba.njit(cache=True, **settings)(function)
    except RuntimeError:  # no folder to keep it in: a read-only installation without a home
        loop = numba.njit(**settings)(function)
    return loop
