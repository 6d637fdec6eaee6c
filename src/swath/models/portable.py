"""The network as one graph for other programs: no branch on the size of an image.

Positions are resampled inside: the weights of that are written out as arithmetic, so that a graph keeps them
for every size; they are those of `position.resample_positions` to rounding. Legend: S side of the learned
grid, R rows and L columns of the grid of an image, B images, C bands, N = R * L patches, D width.
"""

import torch
from torch import Tensor, nn

from swath.models.position import PositionMode
from swath.models.vit import VisionTransformer

_OVER = 2  # taps of a cubic that may lie beyond either edge


class PortableViT(nn.Module):
    """Standardised images (B, C, H, W), H and W multiples of the patch -> class token (B, D) and patch tokens
    (B, N, D) after the last block, normed. Shares the weights of `network`.
    """

    learned: Tensor
    edges: Tensor

    def __init__(self, network: VisionTransformer) -> None:
        super().__init__()
        self.network = network
        side = network.shape.side
        self.register_buffer("learned", torch.arange(side, dtype=torch.float32), persistent=False)
        self.register_buffer("edges", _edges(side), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        network = self.network
        cells = network.patch_embed.proj(images)  # (B, D, R, L)
        rows, columns = cells.shape[2], cells.shape[3]
        positions = self._positions(rows, columns)  # (1, N, D)
        patches = cells.flatten(2).transpose(1, 2) + positions
        first = (network.cls_token + network.pos_embed[:, :1]).expand(images.shape[0], -1, -1)
        tokens = torch.cat([first, patches], dim=1)
        for block in network.blocks:
            tokens = block(tokens)
        tokens = network.norm(tokens)
        return tokens[:, 0], tokens[:, 1:]

    def _positions(self, rows: int, columns: int) -> Tensor:
        """(1, R * L, D)."""
        side = self.network.shape.side
        learned = self.network.pos_embed[0, 1:].reshape(side, side, -1)  # (S, S, D)
        of_rows, of_columns = (self._kernel(size) for size in (rows, columns))
        if self.network.shape.position == "dino":  # at the learned grid positions stay as they are
            same = (_count(of_rows) == side) & (_count(of_columns) == side)
            of_rows, of_columns = (_kept(kernel, self.learned, same) for kernel in (of_rows, of_columns))
        by_rows = torch.einsum("rs,std->rtd", of_rows, learned)
        return torch.einsum("lt,rtd->rld", of_columns, by_rows).flatten(0, 1)[None]

    def _kernel(self, size: int) -> Tensor:
        """(size, S): the weight of every learned position in each resampled one."""
        return cubic_weights(size, self.learned, self.edges, self.network.shape.position)


def cubic_weights(size: int, learned: Tensor, edges: Tensor, mode: PositionMode) -> Tensor:
    """(size, S) of bicubic interpolation; `learned` counts from 0 to S - 1, `edges` is of `_edges`.

    timm: antialiased, Keys' cubic with a = -0.5, as wide as a new cell where these are larger, cut off at
    the edges. dino: a = -0.75, 0.1 added to the size, what lies beyond an edge is the edge.
    """
    side = learned.shape[0]
    at = torch.arange(size, device=learned.device, dtype=torch.float32)[:, None] + 0.5
    if mode == "dino":
        beyond = torch.arange(-_OVER, side + _OVER, device=learned.device, dtype=torch.float32)
        return _cubic(at * (side / (size + 0.1)) - 0.5 - beyond, -0.75) @ edges
    step = at.new_full((), side) / at.shape[0]
    weights = _cubic((learned + 0.5 - at * step) / step.clamp(min=1.0), -0.5)
    return weights / weights.sum(dim=1, keepdim=True)


def _cubic(x: Tensor, a: float) -> Tensor:
    """Keys 1981: the cubic convolution kernel."""
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _edges(side: int) -> Tensor:
    """(S + 4, S) of 0 and 1: every position, and for those beyond an edge the edge."""
    beyond = torch.arange(-_OVER, side + _OVER).clamp(0, side - 1)
    return torch.nn.functional.one_hot(beyond, side).float()


def _kept(kernel: Tensor, learned: Tensor, same: Tensor) -> Tensor:
    at = torch.arange(kernel.shape[0], device=kernel.device, dtype=torch.float32)
    identity = (at[:, None] == learned).float()
    return torch.where(same, identity, kernel)


def _count(kernel: Tensor) -> Tensor:
    """Rows, as a number that a graph works out anew for every image."""
    return kernel.new_ones(kernel.shape[0]).sum()
