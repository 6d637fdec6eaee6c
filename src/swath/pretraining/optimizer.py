"""AdamW with DINO's parameter groups and its clipping, a tensor at a time."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def build_optimizer(student: nn.Module) -> torch.optim.AdamW:
    """Two groups: 0 with weight decay, 1 without (biases and everything of one dimension), as in DINO.

    The learning rate and decay of a step are set by `set_rates`; betas and eps are torch's defaults, as in
    DINO.
    """
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in student.named_parameters():
        if parameter.requires_grad:
            (kept if name.endswith(".bias") or parameter.ndim == 1 else decayed).append(parameter)
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def set_rates(optimizer: torch.optim.AdamW, *, lr: float, weight_decay: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.param_groups[0]["weight_decay"] = weight_decay


def clip_each(parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
    """Scale the gradient of every tensor to a norm of at most `limit` (0: leave them); returns the global
    norm before.

    DINO clips each tensor on its own, with coefficient limit / (norm + 1e-6) where that is below 1. Gradients
    are changed in place.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients))  # noqa: SLF001 -- torch's own clipping calls it the same way
    if limit > 0:
        factors = (limit / (norms + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(gradients, list(factors.unbind()))
    norm: Tensor = torch.linalg.vector_norm(norms)
    return norm
