"""The format of numbers in a network: bfloat16 for products where asked, float32 (or more) for sums."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """float32 for bfloat16 and float16, else as it is: float64 stays, for comparisons with a reference."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
