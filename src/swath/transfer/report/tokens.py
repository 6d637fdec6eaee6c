"""What the network tells apart, as a picture: three principal components of its patch tokens as colours.

A window of one tile slides over the canvas in steps that are no multiple of a token, so that tokens of
neighbouring windows interleave; tokens near the border of a window weigh less. What a token has only
because of its place in the window (its mean over all windows) is taken away first: it would draw the grid
of windows over the land.

Shapes: B windows, n tokens a side, N = n * n, D width, (h, w) cells of half a token.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from swath.data.normalize import standardize
from swath.features.backbone import FrozenBackbone
from swath.pages.mosaic import Canvas
from swath.pages.pictures import BARE, Rgb
from swath.transfer.report.colours import colours_of

_BATCH = 128
_FITTED = 512  # windows that the components are fitted to
_STEPS = (0.45, 0.7, 1.0)  # shares of a window: the finest that the budget allows
_BUDGET = 1.2e12  # multiply-adds: some 20 s on two cores

Corners = list[tuple[int, int]]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TokenPicture:
    """The picture (H, W, 3) at the size of the canvas; `explained`: variance that its three colours hold."""

    rgb: Rgb
    explained: float


@dataclass(frozen=True)
class _Components:
    """What a token is measured by: mean (1, N, D) of its place, to be taken away, and axes (D, 3)."""

    mean: Tensor
    axes: Tensor
    explained: float


@dataclass(frozen=True)
class _Windows:
    """How windows lie on the canvas; `cell_px` is about half a token and divides the window and its steps."""

    backbone: FrozenBackbone
    pixels: Tensor  # (C, H, W), standardised
    size_px: int
    cell_px: int

    @property
    def side(self) -> int:
        """Tokens along one side of a window."""
        return self.backbone.network.shape.side

    @property
    def cells(self) -> int:
        return self.size_px // self.cell_px

    def tokens(self, corners: Corners) -> Tensor:
        """(B, N, D) patch tokens of the windows with these upper left pixels, resized as for features."""
        px, image_px = self.size_px, self.backbone.network.shape.image_px
        images = torch.stack([self.pixels[:, y : y + px, x : x + px] for y, x in corners])
        if px != image_px:
            size = (image_px, image_px)
            images = F.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False)
        return self.backbone.network.tokens(images.to(self.backbone.device))[:, 1:].float().cpu()


@torch.inference_mode()
def token_picture(backbone: FrozenBackbone, canvas: Canvas, *, like: Rgb) -> TokenPicture:
    """Colour every cell of the canvas; `like` are its true colours (H, W, 3)."""
    tile_px, side = backbone.trained.size_px, backbone.network.shape.side
    cell_px = max(1, round(tile_px / side / 2))
    pixels = standardize(canvas.unit[None], backbone.trained)[0]
    windows = _Windows(backbone, pixels, size_px=tile_px // cell_px * cell_px, cell_px=cell_px)
    corners = _corners(canvas, windows)
    parts = _fit(windows, corners)
    height, width = (-(-length // cell_px) for length in canvas.covered.shape)
    total, weight = torch.zeros(3, height, width), torch.full((height, width), 1e-9)
    bell = _bell(windows.cells)
    for start in range(0, len(corners), _BATCH):
        batch = corners[start : start + _BATCH]
        colours = (windows.tokens(batch) - parts.mean) @ parts.axes  # (B, N, 3)
        grids = colours.mT.reshape(len(batch), 3, windows.side, windows.side)
        grids = F.interpolate(grids, size=(windows.cells, windows.cells), mode="nearest-exact")
        for grid, (top, left) in zip(grids, batch, strict=True):
            y, x = top // cell_px, left // cell_px
            total[:, y : y + windows.cells, x : x + windows.cells] += grid * bell
            weight[y : y + windows.cells, x : x + windows.cells] += bell
    return TokenPicture(_coloured(total / weight, canvas.covered, like), parts.explained)


def _corners(canvas: Canvas, windows: _Windows) -> Corners:
    """Over all the covered ground, or tile by tile where tiles on the canvas are no neighbours."""
    layout, px = canvas.layout, windows.size_px
    if not layout.joined:
        return list(zip(layout.tops.tolist(), layout.lefts.tolist(), strict=True))
    weights = sum(parameter.numel() for parameter in windows.backbone.network.parameters())
    for share in _STEPS:
        step = _step_px(windows, share)
        tops, lefts = (_starts(length, px, step, windows.cell_px) for length in canvas.covered.shape)
        if len(tops) * len(lefts) * windows.side**2 * weights <= _BUDGET:
            break
    every = ((top, left) for top in tops for left in lefts)
    return [(top, left) for top, left in every if canvas.covered[top : top + px, left : left + px].any()]


def _step_px(windows: _Windows, share: float) -> int:
    """An odd number of half tokens where windows overlap, so that tokens interleave."""
    halves = max(1, int(windows.cells * share))
    return (halves - (halves % 2 == 0 and share < 1)) * windows.cell_px


def _starts(length: int, window_px: int, step_px: int, cell_px: int) -> list[int]:
    last = max(0, (length - window_px) // cell_px * cell_px)
    return sorted({*range(0, last + 1, step_px), last})


def _fit(windows: _Windows, corners: Corners) -> _Components:
    chosen = np.linspace(0, len(corners) - 1, min(len(corners), _FITTED)).astype(int).tolist()
    tokens = torch.cat(
        [windows.tokens([corners[i] for i in chosen[k : k + _BATCH]]) for k in range(0, len(chosen), _BATCH)]
    )
    mean = tokens.mean(dim=0, keepdim=True) if len(tokens) > 1 else tokens.mean(dim=(0, 1), keepdim=True)
    flat = (tokens - mean).flatten(0, 1).double()
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))  # ascending
    explained = float(values[-3:].sum() / values.sum().clamp(min=1e-30))
    return _Components(mean, vectors[:, -3:].flip(1).float(), explained)


def _bell(side: int) -> Tensor:
    """(side, side) weights: 1 in the middle of a window, little at its border."""
    line = torch.sin(torch.pi * (torch.arange(side) + 0.5) / side) ** 2 + 0.02
    return line[:, None] * line[None, :]


def _coloured(components: Tensor, covered: Flags, like: Rgb) -> Rgb:
    """(3, h, w) -> (H, W, 3)."""
    large = F.interpolate(components[None], size=covered.shape, mode="bicubic", align_corners=False)[0]
    rgb = colours_of(large.numpy(), covered, like=like)
    rgb[~covered] = BARE
    return rgb
