"""Where the views lie in their tiles: boxes as torchvision's RandomResizedCrop draws them, flips, turns."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CROP_DRAWS = 25  # ten areas, ten ratios, top, left, two flips, a turn
_TRIES = 10
_RATIO = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Span:
    """The pixels start .. start + length of a line that each of N views takes, and if in reverse."""

    start: Integers
    length: Integers
    reverse: Flags


@dataclass(frozen=True)
class Crops:
    """N views: cut rows and columns out, resize, reverse where said, and last transpose where said."""

    rows: Span
    columns: Span
    transpose: Flags


@dataclass(frozen=True)
class CropPolicy:
    """`scale` is the range of the share of the tile's area that a view covers."""

    scale: tuple[float, float]
    vertical_flip: bool
    quarter_turns: bool


def random_crops(draws: Floats, policy: CropPolicy, *, height_px: int, width_px: int) -> Crops:
    """N views of tiles of this size, from (N, CROP_DRAWS) numbers in [0, 1)."""
    top, height, left, width = _boxes(draws[:, :22], policy.scale, height_px=height_px, width_px=width_px)
    turns = np.floor(draws[:, 24] * 4).astype(np.int64) * policy.quarter_turns
    mirrored = draws[:, 22] < 0.5
    upside_down = (draws[:, 23] < 0.5) & policy.vertical_flip
    # A quarter turn against the clock is: reverse the columns, then transpose. Half a turn: reverse both.
    return Crops(
        rows=Span(start=top, length=height, reverse=upside_down ^ (turns >= 2)),
        columns=Span(start=left, length=width, reverse=mirrored ^ np.isin(turns, (1, 2))),
        transpose=turns % 2 == 1,
    )


def between(draws: Floats, low: float, high: float) -> Floats:
    """Numbers in [0, 1) moved to [low, high)."""
    return draws * np.float32(high - low) + np.float32(low)


def _boxes(
    draws: Floats, scale: tuple[float, float], *, height_px: int, width_px: int
) -> tuple[Integers, Integers, Integers, Integers]:
    """Top, height, left, width: of ten tries (area, log ratio) the first that fits, else a central box."""
    area = height_px * width_px * between(draws[:, :_TRIES], *scale)
    ratio = np.exp(between(draws[:, _TRIES : 2 * _TRIES], math.log(_RATIO[0]), math.log(_RATIO[1])))
    heights = np.rint(np.sqrt(area / ratio)).astype(np.int64)
    widths = np.rint(np.sqrt(area * ratio)).astype(np.int64)
    fits = (heights > 0) & (heights <= height_px) & (widths > 0) & (widths <= width_px)
    first, found = fits.argmax(axis=1)[:, None], fits.any(axis=1)
    central = _central_box(height_px, width_px)
    height = np.where(found, np.take_along_axis(heights, first, axis=1)[:, 0], central[0])
    width = np.where(found, np.take_along_axis(widths, first, axis=1)[:, 0], central[1])
    top = np.where(found, draws[:, 20], 0.5) * (height_px - height + found)
    left = np.where(found, draws[:, 21], 0.5) * (width_px - width + found)
    return top.astype(np.int64), height, left.astype(np.int64), width


def _central_box(height_px: int, width_px: int) -> tuple[int, int]:
    ratio = width_px / height_px
    if ratio < _RATIO[0]:
        return round(width_px / _RATIO[0]), width_px
    if ratio > _RATIO[1]:
        return height_px, round(height_px * _RATIO[1])
    return height_px, width_px
