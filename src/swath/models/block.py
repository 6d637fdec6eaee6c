"""One block of a vision transformer: attention, then a perceptron on each token.

Parameters are named as in timm and facebookresearch/dino.
Legend: B images, T tokens (class token first), Q tokens that ask, D width, h heads, d = D / h.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.models.linear import GeluLinear, Linear

# Up to here bfloat16 on a processor does better without torch's fused kernel (numbers in `attend`).
_PLAIN_STEPS_TOKENS = 256


class Block(nn.Module):
    """Attention and perceptron, each on normed tokens and added to what came in (pre-norm)."""

    def __init__(self, width: int, heads: int, *, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Perceptron(width, hidden)

    def forward(self, tokens: Tensor, keep: Tensor | None = None, *, first: int | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D), or (B, first, D): only the first tokens are worked out; they look at all.

        keep: (2, B) factors of the two branches, None for 1.
        """
        tokens = _add_branch(
            tokens, lambda t: self.attn(self.norm1(t), first), None if keep is None else keep[0], first=first
        )
        return _add_branch(tokens, lambda t: self.mlp(self.norm2(t)), None if keep is None else keep[1])


class Attention(nn.Module):
    """Every token gathers the values of all, weighted by softmax(query . key / sqrt(d)), in h heads apart."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, tokens: Tensor, first: int | None = None) -> Tensor:
        """(B, T, D) -> (B, Q, D); Q is T, or `first`."""
        queries, keys, values = self.by_head(tokens)
        gathered = attend(queries[:, :, :first], keys, values)  # (B, h, Q, d)
        mixed: Tensor = self.proj(gathered.transpose(1, 2).flatten(2))  # (B, Q, D)
        return mixed

    def by_head(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, D) -> queries, keys, values, each (B, h, T, d): views of one product, nothing is copied."""
        products = self.qkv(tokens).unflatten(2, (3, self.heads, -1))  # (B, T, 3, h, d)
        queries, keys, values = products.permute(2, 0, 3, 1, 4)
        return queries, keys, values


class Perceptron(nn.Module):
    """Two linear maps with a GELU (the exact one, by erf) between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = GeluLinear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        mixed: Tensor = self.fc2(self.fc1(tokens))
        return mixed


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(q . k / sqrt(d)) v: (B, h, Q, d), (B, h, T, d), (B, h, T, d) -> (B, h, Q, d)."""
    # B 128, h 2, T 65, d 64, forward and backward, one core of an AMD EPYC with AVX512-BF16, torch 2.15:
    # bfloat16 takes 66 ms in the fused kernel, 14 ms in plain steps (float32: 24 ms fused). With more tokens
    # the gap closes, and the plain steps keep T * T weights for the backward pass.
    slow_kernel = queries.dtype == torch.bfloat16 and queries.device.type == "cpu"
    if slow_kernel and keys.shape[2] <= _PLAIN_STEPS_TOKENS:
        return attention_maps(queries, keys) @ values
    return F.scaled_dot_product_attention(queries, keys, values)


def attention_maps(queries: Tensor, keys: Tensor) -> Tensor:
    """softmax(q . k / sqrt(d)): (B, h, Q, d), (B, h, T, d) -> (B, h, Q, T), each row adding up to 1."""
    scores: Tensor = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-2, -1)
    return scores.softmax(dim=-1)


def _add_branch(
    tokens: Tensor, branch: Callable[[Tensor], Tensor], factors: Tensor | None, *, first: int | None = None
) -> Tensor:
    """The sum tokens + factors * branch(tokens), of the first ones: (B, T, D), (B,) -> (B, T or first, D)."""
    if factors is None:
        return tokens[:, :first] + branch(tokens)
    skips = tokens.device.type == "cpu" and not torch.compiler.is_compiling()
    if skips and (kept := factors.nonzero()[:, 0]).numel():
        # What is left out need not be worked out. On a GPU the host would wait here for their number.
        made = branch(tokens.index_select(0, kept)) * factors[kept, None, None]
        return tokens[:, :first].index_add(0, kept, made.to(tokens.dtype))
    return tokens[:, :first] + branch(tokens) * factors[:, None, None]
