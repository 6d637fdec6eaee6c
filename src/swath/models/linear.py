"""The linear map of every network, by the fastest kernel that the processor has for it.

Legend: M rows (images times tokens), I numbers in, O numbers out.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.products import has_onednn, onednn_product


class Linear(nn.Linear):
    """`nn.Linear`, its products by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class GeluLinear(Linear):
    """A GELU (the exact one, by erf), then the linear map."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type) or x.dtype != self.weight.dtype or not has_onednn(x):
            return linear(F.gelu(x), self.weight, self.bias)
        y: Tensor = _OneDnnGeluLinear.apply(x, self.weight, self.bias)
        return y


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The product x weight^T + bias, in the format of the weights: (..., I), (O, I), (O,) -> (..., O)."""
    if torch.is_autocast_enabled(x.device.type):  # it chooses formats for torch's own linear map alone
        return F.linear(x, weight, bias)
    x = x.to(weight.dtype)
    if not has_onednn(x):
        return F.linear(x, weight, bias)
    y: Tensor = _OneDnnLinear.apply(x, weight, bias)
    return y


class _OneDnnLinear(torch.autograd.Function):
    """The same three products (outputs, gradients of inputs and of weights), called in oneDNN by name.

    torch gives float32 products to MKL, which on AMD leaves half of AVX-512 unused: 3152 x 384 by 1536 takes
    33 ms there and 15 ms here, forward; 34 and 15, 33 and 19 ms backward (one core of an AMD EPYC, torch
    2.15). bfloat16 goes to oneDNN in any case, but torch copies the bias over all rows first: 8.6 and 7.5 ms.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (M, I)
        ctx.save_for_backward(rows, weight)
        ctx.shape = x.shape
        return onednn_product(rows, weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        by_row = gradient.reshape(-1, gradient.shape[-1])  # (M, O)
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        of_x = onednn_product(by_row, weight.t()).view(ctx.shape) if wants_x else None
        of_weight = _product_of_columns(by_row, rows) if wants_weight else None
        return of_x, of_weight, by_row.sum(dim=0) if wants_bias else None


class _OneDnnGeluLinear(torch.autograd.Function):
    """Keeps x alone for the backward pass and works out gelu(x) a second time there: 1 % of the time of a
    step, and 7 % of its memory (ViT-S/16, ten views of 8 tiles, bfloat16).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (M, I)
        ctx.save_for_backward(rows, weight)
        ctx.shape = x.shape
        return onednn_product(F.gelu(rows), weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, weight = ctx.saved_tensors
        by_row = gradient.reshape(-1, gradient.shape[-1])  # (M, O)
        of_x = torch.ops.aten.gelu_backward(onednn_product(by_row, weight.t()), rows)
        return of_x.view(ctx.shape), _product_of_columns(by_row, F.gelu(rows)), by_row.sum(dim=0)


def _product_of_columns(gradient: Tensor, rows: Tensor) -> Tensor:
    """(M, O), (M, I) -> (O, I); bfloat16 is in oneDNN by `@` already, and 1.2 times as fast that way."""
    return gradient.t() @ rows if gradient.dtype == torch.bfloat16 else onednn_product(gradient.t(), rows.t())
