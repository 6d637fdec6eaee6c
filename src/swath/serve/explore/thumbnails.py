"""Tiles as small PNG pictures in true colour, one by one or many on a sheet.

Shapes: B tiles, H x W pixels of a tile; rgb (B, H, W, 3) uint8.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from swath.pages.pictures import Display, Rgb, Rows

SIDES_PX = (16, 32, 64, 128, 256)
MOST_ON_A_SHEET = 256
_QUICK = 1  # zlib's level: over loopback bytes are cheaper than time


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """Pictures of tiles by row number, no larger than the tiles are."""

    display: Display

    def picture(self, row: int, side_px: int) -> bytes:
        """One tile, PNG."""
        return _png(self._rgb(np.asarray([row]), side_px)[0])

    def sheet(self, rows: Rows, side_px: int) -> bytes:
        """Tiles in reading order, ceil(sqrt(B)) a line, each in a square of exactly `side_px`; PNG."""
        rgb = _in_squares(self._rgb(rows, side_px), side_px)
        across = math.ceil(math.sqrt(len(rows)))
        down = math.ceil(len(rows) / across)
        cells = np.zeros((down * across, side_px, side_px, 3), dtype=np.uint8)
        cells[: len(rows)] = rgb
        lines = cells.reshape(down, across, side_px, side_px, 3).transpose(0, 2, 1, 3, 4)
        return _png(np.ascontiguousarray(lines).reshape(down * side_px, across * side_px, 3))

    def _rgb(self, rows: Rows, side_px: int) -> Rgb:
        rgb = self.display.rgb(self.display.unit(rows))
        return rgb if rgb.shape[1] <= side_px else _resized(rgb, side_px)


def _resized(rgb: Rgb, side_px: int) -> Rgb:
    """(B, H, W, 3) -> (B, side, side, 3), antialiased."""
    planes = torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2)
    small = F.interpolate(planes, size=(side_px, side_px), mode="bilinear", antialias=True)
    return np.asarray(small.permute(0, 2, 3, 1).numpy())


def _in_squares(rgb: Rgb, side_px: int) -> Rgb:
    """Small tiles enlarged by repeating pixels, so that a sheet has one grid."""
    if rgb.shape[1] == side_px:
        return rgb
    places = np.arange(side_px) * rgb.shape[1] // side_px
    return np.ascontiguousarray(rgb[:, places][:, :, places])


def _png(rgb: Rgb) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="PNG", compress_level=_QUICK)
    return buffer.getvalue()
