"""The contact sheet: the query, then the tiles that were found, each with its similarity and labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from swath.files import file_aside
from swath.location import Location
from swath.pages.pictures import Rgb, at_most

_SIDE_PX, _GAP_PX, _CAPTION_PX, _COLUMNS, _DPI = 128, 10, 34, 10, 100
_LETTERS = 22  # of a label that fit under a tile
_INK, _FAINT, _ACCENT, _PAPER = "#1c2127", "#5f6b7a", "#c2410c", "#ffffff"


@dataclass(frozen=True, eq=False)
class Cell:
    """A picture (h, w, 3) and two lines under it."""

    rgb: Rgb
    title: str
    words: str


def write_sheet(path: Location, query: Cell, found: Sequence[Cell], *, title: str) -> None:
    """Write a PNG, ten tiles a row; the query comes first, in a frame."""
    cells = [query, *found]
    columns = min(_COLUMNS, len(cells))
    step_x, step_y, top = _SIDE_PX + _GAP_PX, _SIDE_PX + _CAPTION_PX + _GAP_PX, 30
    width = max(columns, 4) * step_x + _GAP_PX
    height = top + -(-len(cells) // columns) * step_y + _GAP_PX
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=_PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for place, cell in enumerate(cells):
        x, y = _GAP_PX + place % columns * step_x, top + place // columns * step_y
        canvas[y : y + _SIDE_PX, x : x + _SIDE_PX] = _fitted(cell.rgb)
        accent = _ACCENT if place == 0 else _INK
        axes.text(x, y + _SIDE_PX + 13, cell.title, size=8, weight="bold", color=accent, parse_math=False)
        axes.text(x, y + _SIDE_PX + 27, _short(cell.words), size=7, color=_FAINT, parse_math=False)
    axes.imshow(canvas, extent=(0, width, height, 0), interpolation="nearest")
    axes.add_patch(
        Rectangle((_GAP_PX - 2, top - 2), _SIDE_PX + 4, _SIDE_PX + 4, fill=False, lw=2.5, ec=_ACCENT)
    )
    axes.text(_GAP_PX, 19, title, size=10, weight="bold", color=_INK, parse_math=False)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    with file_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=_DPI)


def _fitted(rgb: Rgb) -> Rgb:
    """(h, w, 3) -> (_SIDE_PX, _SIDE_PX, 3): small tiles in whole, visible pixels, larger ones reduced."""
    small = at_most(rgb, _SIDE_PX)
    places = [np.arange(_SIDE_PX) * side // _SIDE_PX for side in small.shape[:2]]
    return small[np.ix_(*places)]


def _short(words: str) -> str:
    """The beginning of labels; the end of an id, in which tiles of one scene differ."""
    if len(words) <= _LETTERS:
        return words
    return f"{words[: _LETTERS - 3]}..." if " " in words else f"...{words[3 - _LETTERS :]}"
