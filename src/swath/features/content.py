"""What a feature is made of: class token, mean of the patch tokens, or both, of the last n blocks.

Legend: B tiles, T tokens (class token first), D width of the network.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from swath.models.vit import VisionTransformer

Tokens = Literal["cls", "mean", "both"]
_WORDS = {
    "cls": "class token",
    "mean": "mean of the patch tokens",
    "both": "class token and mean of the patch tokens",
}


@dataclass(frozen=True)
class Pixels:
    """Features that are made of pixels without any network: a short name and the words for it."""

    tokens: str
    words: str
    blocks: int = 0

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Content:
    """Which tokens, of how many of the last blocks; blocks in order, and in each the class token first."""

    tokens: Tokens = "both"
    blocks: int = 1

    def dim(self, width: int) -> int:
        return width * self.blocks * (2 if self.tokens == "both" else 1)

    def __str__(self) -> str:
        where = "the last block" if self.blocks == 1 else f"each of the last {self.blocks} blocks"
        return f"{_WORDS[self.tokens]} of {where}"

    @property
    def file_tag(self) -> str:
        """'' for the usual content, else what tells its files from others: '-cls-4'."""
        return "" if self == Content() else f"-{self.tokens}-{self.blocks}"

    def of(self, network: VisionTransformer, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, dim), float32.

        Raises:
            UsageError: the network has fewer blocks.
        """
        taken = [network.tokens(images)] if self.blocks == 1 else network.last_tokens(images, self.blocks)
        return torch.cat([part for tokens in taken for part in self._parts(tokens.float())], dim=1)

    def _parts(self, tokens: Tensor) -> list[Tensor]:
        """(B, T, D) -> one or two of (B, D)."""
        parts = {"cls": tokens[:, 0], "mean": tokens[:, 1:].mean(dim=1)}
        return list(parts.values()) if self.tokens == "both" else [parts[self.tokens]]
