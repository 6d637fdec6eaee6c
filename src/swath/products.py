"""Products of matrices by the fastest kernel that the processor has for them.

torch gives float32 products to MKL, which on AMD leaves half of AVX-512 unused: 100 GFLOP/s a core of an AMD
EPYC where oneDNN, called by name, reaches 230 (torch 2.15; matrices of some thousand rows of 384).
Legend: M rows, I numbers in, O numbers out.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor


def product(rows: Tensor, others: Tensor) -> Tensor:
    """The product rows others^T, of one format: (M, I), (O, I) -> (M, O). No gradient flows through it."""
    return onednn_product(rows, others) if has_onednn(rows) else F.linear(rows, others)


def onednn_product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(M, I), (O, I), (O,) -> (M, O) where `has_onednn`."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")  # noqa: SLF001 -- what torch.compile calls too
    return y


def has_onednn(x: Tensor) -> bool:
    """Whether oneDNN has products of this format on this device and may make them (it sums in another order
    than MKL, so `torch.backends.mkldnn.flags` can keep it out); a graph that is exported runs elsewhere.
    """
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and (x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and has_bfloat16_products()))
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it so
        and bool(torch.backends.mkldnn.enabled)
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # torch leaves it so
    )


@functools.cache
def has_bfloat16_products() -> bool:
    """Whether oneDNN multiplies bfloat16 on this processor."""
    supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001 -- torch asks itself this way
    return supported
