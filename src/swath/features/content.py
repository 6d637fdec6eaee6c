"""What a feature is made of: class token, mean of the patch tokens, or both, of the last n blocks.

Legend: B tiles, T tokens (class token first), D width of the network.
"""

from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from swath.errors import DataError
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

    def taken(self, network: VisionTransformer, images: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> what features are made of: (B, T, D) float32 of each block.

        Raises:
            UsageError: the network has fewer blocks.
        """
        taken = [network.tokens(images)] if self.blocks == 1 else network.last_tokens(images, self.blocks)
        return [tokens.float() for tokens in taken]

    def joined(self, tokens: list[Tensor]) -> Tensor:
        """(B, T, D) of each block -> (B, dim)."""
        return torch.cat([part for of_block in tokens for part in self._parts(of_block)], dim=1)

    @classmethod
    def said(cls, words: str, *, depth: int) -> Self:
        """The content that `str` describes by `words`, of a network of `depth` blocks.

        Raises:
            DataError: there is none.
        """
        for tokens in get_args(Tokens):
            for blocks in range(1, depth + 1):
                if str(cls(tokens, blocks)) == words:
                    return cls(tokens, blocks)
        raise DataError(f'no feature is called "{words[:80]}"; was it written by another version?')

    @property
    def parts(self) -> tuple[str, ...]:
        """Of each block, in order."""
        return ("cls", "mean") if self.tokens == "both" else (self.tokens,)

    def _parts(self, tokens: Tensor) -> list[Tensor]:
        """(B, T, D) -> one or two of (B, D)."""
        parts = {"cls": tokens[:, 0], "mean": tokens[:, 1:].mean(dim=1)}
        return [parts[name] for name in self.parts]
