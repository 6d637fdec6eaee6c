"""The heads that training puts on a backbone and that nobody needs afterwards.

Legend: B images, D width of the backbone, K prototypes, P dimensions of a projection.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.models.linear import Linear, linear
from swath.models.precision import at_least_float32
from swath.models.vit import init_linears

_BOTTLENECK = 256


class DINOHead(nn.Module):
    """Perceptron to 256 dimensions, L2 norm, then the dot product with K prototypes (Caron et al. 2021).

    Parameters are named as in facebookresearch/dino: mlp.0, mlp.2, mlp.4, last_layer.weight_g and weight_v.
    `norm_last_layer` keeps the prototypes at length 1.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        *,
        hidden: int = 2048,
        norm_last_layer: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            Linear(in_dim, hidden),
            nn.GELU(),
            Linear(hidden, hidden),
            nn.GELU(),
            Linear(hidden, _BOTTLENECK),
        )
        init_linears(self.mlp, generator)
        self.last_layer = Prototypes(
            _BOTTLENECK, out_dim, learn_length=not norm_last_layer, generator=generator
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) -> (B, K): logits before any temperature, cosines where the prototypes have length 1."""
        projected = self.mlp(features)  # (B, 256)
        directions = F.normalize(at_least_float32(projected), dim=-1)
        logits: Tensor = self.last_layer(directions.to(projected.dtype))  # (B, K)
        return logits


class Prototypes(nn.Module):
    """A linear map without bias; each row is `weight_g` long in the direction of `weight_v`.

    Weight normalisation (Salimans and Kingma 2016, arXiv 1602.07868), written out because torch's own saves
    other names than released heads have.
    """

    def __init__(
        self, in_dim: int, out_dim: int, *, learn_length: bool, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(out_dim, 1), requires_grad=learn_length)
        self.weight_v = nn.Parameter(torch.empty(out_dim, in_dim))
        # As in the reference, torch's default for a linear map: its truncated normals come before this layer.
        nn.init.uniform_(self.weight_v, -(in_dim**-0.5), in_dim**-0.5, generator=generator)

    def forward(self, directions: Tensor) -> Tensor:
        """(B, in_dim) -> (B, out_dim)."""
        cosines: Tensor = _Cosines.apply(directions, self.weight_v)
        logits: Tensor = cosines * self.weight_g.T
        return logits


class _Cosines(torch.autograd.Function):
    """Products of directions with prototypes, over the lengths of the prototypes: (B, I), (K, I) -> (B, K).

    The lengths divide what comes out and not the prototypes, B numbers each instead of I; and the gradient is
    written out, since autograd's goes several times over K x I numbers more: 90 ms of a step of ViT-S/16 with
    65,536 prototypes (2 cores of an AMD EPYC), and 0.2 GB.
    """

    @staticmethod
    def forward(ctx: Any, directions: Tensor, prototypes: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(prototypes, dim=1)  # (K,)
        cosines: Tensor = linear(directions, prototypes.to(directions.dtype)) / lengths
        ctx.save_for_backward(directions, prototypes, lengths, cosines)
        return cosines

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        directions, prototypes, lengths, cosines = ctx.saved_tensors
        of_products = (gradient / lengths).to(directions.dtype)
        of_directions = of_products @ prototypes.to(directions.dtype)
        of_prototypes = (of_products.t() @ directions).to(prototypes.dtype)
        along = (gradient * cosines).sum(dim=0) / lengths**2  # (K,): what a longer prototype would change
        return of_directions, of_prototypes.addcmul_(prototypes, along[:, None], value=-1)


class ProjectionHead(nn.Module):
    """Perceptron of three linear maps; what comes out has length 1, ready for a contrastive loss."""

    def __init__(
        self, in_dim: int, out_dim: int, *, hidden: int = 2048, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            Linear(in_dim, hidden),
            nn.GELU(),
            Linear(hidden, hidden),
            nn.GELU(),
            Linear(hidden, out_dim),
        )
        init_linears(self.mlp, generator)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) -> (B, P) unit vectors, float32 at least."""
        return F.normalize(at_least_float32(self.mlp(features)), dim=-1)
