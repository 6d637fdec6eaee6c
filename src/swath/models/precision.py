"""The format of numbers in a network: bfloat16 for products where asked, float32 (or more) for sums."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


def at_least_float32(x: Tensor) -> Tensor:
    """float32 for bfloat16 and float16, else as it is: float64 stays, for comparisons with a reference."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def computing_in(dtype: torch.dtype, network: nn.Module) -> Callable[..., Any]:
    """The forward pass of a network with its linear maps in a format of fewer bits than its parameters have.

    Their weights are copied in that format once, here, for as many passes as follow; gradients flow through
    the copies to the parameters, so that an optimizer sees float32 alone. Tokens between blocks and norms
    stay float32: with those in bfloat16 too the gradient of a norm's bias is 30 % off, as torch adds it up
    over all tokens in bfloat16, and that of the network 2.4 % instead of 1.3 % (ViT-Ti/16; autocast: 1.5 %).
    """
    if dtype == torch.float32:
        return network
    copies = {
        f"{name}.{kind}": parameter.to(dtype)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        for kind, parameter in module.named_parameters(recurse=False)
    }
    return lambda *inputs: functional_call(network, copies, inputs)
