"""The vision transformer that DINO trains: class token, learned positions, pre-norm blocks, no dropout.

Parameters are named as in timm and facebookresearch/dino, so weights go both ways. Dosovitskiy et al. 2021
(arXiv 2010.11929); the sizes tiny and small are those of Touvron et al. 2021 (arXiv 2012.12877).
Legend: B images, C bands, H and W pixels, P patch side, N = H/P * W/P patches, T = 1 + N tokens (class token
first, then patches row by row), D width, h heads.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self, get_args

import torch
from torch import Tensor, nn

from swath.errors import DataError, UsageError, did_you_mean
from swath.models.block import Block, attention_maps
from swath.models.linear import linear
from swath.models.position import PositionMode, resample_positions

# (width, depth, heads); vit_micro is ours, for tiles of 32 px and minutes of CPU.
SIZES = {
    "vit_micro": (128, 4, 2),
    "vit_tiny": (192, 12, 3),
    "vit_small": (384, 12, 6),
    "vit_base": (768, 12, 12),
}


@dataclass(frozen=True)
class ViTShape:
    """Everything that fixes the tensors of a network and what it computes with them.

    `image_px` is the side of the images whose grid of positions is learned. `drop_path` is the rate of the
    last block, 0 in the first and linear between (see `drop_path_keep`); who calls `forward` applies it.
    """

    width: int
    depth: int
    heads: int
    patch_size: int
    in_channels: int
    image_px: int
    mlp_ratio: float = 4.0
    position: PositionMode = "timm"
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "patch_size", "in_channels", "image_px"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.width % self.heads:
            raise UsageError(f"width {self.width} does not divide into {self.heads} heads")
        if self.image_px % self.patch_size:
            raise UsageError(f"image_px {self.image_px} is not a multiple of patch_size {self.patch_size}")
        if self.position not in get_args(PositionMode):
            raise UsageError(f'position is "{self.position}"; choose timm or dino')
        if not 0 <= self.drop_path < 1:
            raise UsageError(f"drop_path is {self.drop_path}; it must be from 0 to below 1")
        if self.mlp_ratio * self.width < 1:
            raise UsageError(f"mlp_ratio {self.mlp_ratio} leaves no hidden units at width {self.width}")

    @property
    def side(self) -> int:
        """Tokens along one side of an image of `image_px`."""
        return self.image_px // self.patch_size

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        try:
            return cls(**value)
        except TypeError as error:
            raise DataError(
                f"not the shape of a network ({error}); was it written by another version?"
            ) from error


def shape_of(
    name: str, patch_size: int, *, in_channels: int, image_px: int, drop_path: float = 0.0
) -> ViTShape:
    """The shape of a named size, positions in mode timm; change them with `dataclasses.replace`.

    Raises:
        UsageError: no such name, or the numbers do not fit together.
    """
    if name not in SIZES:
        raise UsageError(f'no model "{name}"; models: {", ".join(SIZES)}.{did_you_mean(name, SIZES)}')
    width, depth, heads = SIZES[name]
    return ViTShape(width, depth, heads, patch_size, in_channels, image_px, drop_path=drop_path)


def drop_path_rates(shape: ViTShape) -> Tensor:
    """(depth,) chance that a residual branch of block i is left out for one image."""
    return torch.linspace(0, shape.drop_path, shape.depth)


def drop_path_keep(shape: ViTShape, draws: Tensor) -> Tensor:
    """(B, 2 * depth) numbers in [0, 1) -> (depth, 2, B) factors: the `keep` of `VisionTransformer.forward`.

    A factor is 0 where the branch is left out, else 1 / (1 - rate), so that its mean is 1. One draw for each
    image and branch, as timm and DINO do (stochastic depth, Huang et al. 2016, arXiv 1603.09382).
    """
    rates = drop_path_rates(shape).to(draws.device)[:, None, None]
    kept = draws.T.reshape(shape.depth, 2, -1) >= rates
    return kept / (1 - rates)


class VisionTransformer(nn.Module):
    """Images of any size that is a multiple of the patch -> features; positions are resampled to their grid.

    Every method raises UsageError where the bands or the size of the images do not fit.
    """

    def __init__(self, shape: ViTShape, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.shape = shape
        hidden = int(shape.width * shape.mlp_ratio)
        self.patch_embed = PatchEmbedding(shape)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + shape.side**2, shape.width))
        self.blocks = nn.ModuleList(
            Block(shape.width, shape.heads, hidden=hidden) for _ in range(shape.depth)
        )
        self.norm = nn.LayerNorm(shape.width, eps=1e-6)
        self._initialise(generator)

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, D): the class token after the last block, normed.

        keep: (depth, 2, B) factors of the two branches of each block (see `drop_path_keep`), None for 1.
        """
        tokens = self._embed(images)
        for index, block in enumerate(self.blocks[:-1]):
            tokens = block(tokens, _of_block(keep, index))
        # Nothing reads the other tokens of the last block, so it works out the class token alone: the same
        # number, and training at 22 % more images/s for vit_micro/4 at 32 px, 9 % for vit_tiny/16 at 224 px
        # (one core of an AMD EPYC).
        tokens = self.blocks[-1](tokens, _of_block(keep, -1), first=1)  # (B, 1, D)
        features: Tensor = self.norm(tokens[:, 0])  # (B, D)
        return features

    def compile_blocks(self, *, backend: str = "inductor") -> None:
        """From now on blocks run as torch.compile makes them. Compiled is the block and not the network, as
        all blocks share what is made for one: seconds instead of minutes. Names of tensors stay.
        """
        for block in self.blocks:
            block.compile(backend=backend)

    def tokens(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """(B, C, H, W) -> (B, T, D): all tokens after the last block, normed."""
        tokens = self._embed(images)
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, _of_block(keep, index))
        normed: Tensor = self.norm(tokens)
        return normed

    def last_tokens(self, images: Tensor, n: int) -> list[Tensor]:
        """Normed tokens (B, T, D) after each of the last n blocks, in order."""
        if not 1 <= n <= self.shape.depth:
            raise UsageError(
                f"tokens of the last {n} blocks were asked for; the network has {self.shape.depth}"
            )
        tokens, taken = self._embed(images), []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index >= self.shape.depth - n:
                taken.append(self.norm(tokens))
        return taken

    def attention(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, h, T, T): softmax of the last block; rows are the tokens that ask."""
        tokens = self._embed(images)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        last = self.blocks[-1]
        assert isinstance(last, Block)
        queries, keys, _ = last.attn.by_head(last.norm1(tokens))
        return attention_maps(queries, keys)

    def _embed(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, T, D)."""
        positions = resample_positions(self.pos_embed, self._grid(images), self.shape.position)  # (1, T, D)
        patches = self.patch_embed(images) + positions[:, 1:]  # (B, N, D)
        first = (self.cls_token + positions[:, :1]).expand(images.shape[0], -1, -1)  # (B, 1, D)
        return torch.cat([first, patches], dim=1)

    def _grid(self, images: Tensor) -> tuple[int, int]:
        """Rows and columns of tokens, after checking that the images fit."""
        _, bands, height, width = images.shape
        patch = self.shape.patch_size
        if bands != self.shape.in_channels:
            raise UsageError(f"images have {bands} bands; the network takes {self.shape.in_channels}")
        if height % patch or width % patch or 0 in {height, width}:
            raise UsageError(
                f"images are {height} px high, {width} px wide; both must be multiples of the patch ({patch})"
            )
        return height // patch, width // patch

    def _initialise(self, generator: torch.Generator | None) -> None:
        """As DINO: truncated normal of std 0.02, biases 0; the patch convolution by torch's default."""
        for parameter in (self.pos_embed, self.cls_token):
            nn.init.trunc_normal_(parameter, std=0.02, generator=generator)
        init_linears(self, generator)
        convolution = self.patch_embed.proj
        bound = convolution.weight[0].numel() ** -0.5  # torch: kaiming_uniform with a = sqrt(5)
        for parameter in convolution.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)


class PatchEmbedding(nn.Module):
    """One linear map of each P x P square of pixels, all bands together."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        patch = shape.patch_size
        self.proj = nn.Conv2d(shape.in_channels, shape.width, kernel_size=patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, D)."""
        # A convolution whose steps are as wide as its kernel is a linear map of the pixels of each square; as
        # such it takes 11 ms instead of 17, backward included (16 images, bfloat16, one core of an AMD EPYC).
        weight, patch = self.proj.weight, self.proj.kernel_size[0]
        B, C, H, W = images.shape
        cells = images.to(weight.dtype).reshape(B, C, H // patch, patch, W // patch, patch)
        squares = cells.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * patch**2)  # (B, N, C * P * P)
        return linear(squares, weight.flatten(1), self.proj.bias)  # (B, N, D)


def init_linears(module: nn.Module, generator: torch.Generator | None) -> None:
    """Every linear map in `module`: weights truncated normal of std 0.02, biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02, generator=generator)
            nn.init.zeros_(part.bias)


def _of_block(keep: Tensor | None, index: int) -> Tensor | None:
    return None if keep is None else keep[index]
