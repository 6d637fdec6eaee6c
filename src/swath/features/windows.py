"""Windows of one size over tiles that may be larger, and what they say put together again.

A network has learned tiles of one side; a larger image is looked at window by window, at the same ground
resolution. Where windows overlap, each counts the less the nearer its own edge is: a network knows least
about pixels whose surroundings it does not see. Legend: B tiles, K classes, H tile side, W window side.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Seen = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Windows:
    """Square windows of `side_px` at every pair of `starts` on square tiles."""

    side_px: int
    starts: tuple[int, ...]

    @classmethod
    def over(cls, tile_px: int, side_px: int, *, overlap: float) -> "Windows":
        """Windows of `side_px` (at most the tile) that cover a tile; neighbours share at least `overlap`."""
        side = min(side_px, tile_px)
        stride = max(1, round(side * (1 - overlap)))
        last = tile_px - side
        return cls(side, tuple(sorted({*range(0, last, stride), last})))

    def __len__(self) -> int:
        return len(self.starts) ** 2

    def cut(self, images: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
        """Rows, columns, and the (B, ..., W, W) pixels of one window of all images after another."""
        for top in self.starts:
            for left in self.starts:
                rows, columns = slice(top, top + self.side_px), slice(left, left + self.side_px)
                yield rows, columns, images[..., rows, columns]

    def blended(self, images: Tensor, logits_of: Seen) -> Tensor:
        """(B, K, H, H) weighted mean of what `logits_of` says of windows: (B, C, W, W) -> (B, K, W, W)."""
        weight = edge_weight(self.side_px, images.device)
        total: Tensor | None = None
        weights = torch.zeros(images.shape[-2:], device=images.device)
        for rows, columns, window in self.cut(images):
            logits = logits_of(window)
            if len(self) == 1:
                return logits
            if total is None:
                total = torch.zeros(*logits.shape[:2], *images.shape[-2:], device=logits.device)
            total[..., rows, columns] += logits * weight
            weights[rows, columns] += weight
        assert total is not None
        return total / weights


def edge_weight(side_px: int, device: torch.device | None = None) -> Tensor:
    """(W, W), 1 in the middle, falling linearly to the edges, never 0."""
    ramp = torch.arange(1, side_px + 1, device=device, dtype=torch.float32)
    line = torch.minimum(ramp, ramp.flip(0)) / ((side_px + 1) / 2)
    return torch.outer(line, line)
