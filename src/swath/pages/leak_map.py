"""A map of the places that train and that are scored, coloured by how near the two come; with a close-up."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from swath.geography.leaks import Leaks

Rgb = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

_TRAIN, _CLEAR, _NEAR, _TOUCHES, _OVERLAPS = "#a9c4e8", "#2e8b74", "#e9c46a", "#f28c28", "#c1121f"
_INK, _SOFT = "#17201c", "#5c6862"
_WINDOW_SIDES = 7  # of a tile, to each side of the middle of the close-up
_METRES_A_DEGREE = 111_320.0
_SMALL = 0.03  # of the width of the map: a square of this size would be hard to find


def leak_map(leaks: Leaks, train: Rows) -> Rgb:
    """(H, W, 3): all places of `train` (by number), test and val on the left, the worst of them enlarged."""
    figure = Figure(figsize=(13, 6.6), dpi=110, facecolor="white", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    overview, close = figure.subplots(1, 2)
    kinds = _kinds(leaks)
    _draw_overview(overview, leaks, train, kinds)
    centre = _worst(leaks, kinds)
    _draw_close_up(close, leaks, train, kinds, centre)
    _mark(overview, close, centre)
    figure.legend(
        handles=[
            Patch(color=_TRAIN, label="train"),
            *(Patch(color=c, label=w) for c, (w, _) in kinds.items()),
        ],
        loc="outside lower center",
        ncols=5,
        frameon=False,
        labelcolor=_INK,
    )
    figure.draw_without_rendering()  # the first layout does not know yet how high maps of this shape are
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib's own stubs lack it
    rgba = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]  # likewise
    return np.asarray(rgba[..., :3]).copy()


def _kinds(leaks: Leaks) -> dict[str, tuple[str, Rows]]:
    """Colours with their words and places, the worst last, so that it is painted over the others."""
    apart, tolerance = leaks.apart_m, leaks.tolerance_m
    within = max(leaks.within_m, np.nextafter(tolerance, np.inf))
    chosen = {
        _CLEAR: ("test or val, farther away", apart >= within),
        _NEAR: (f"within {within:,.0f} m of train", (apart < within) & (apart > tolerance)),
        _TOUCHES: ("touches train", (apart <= tolerance) & (apart >= -tolerance)),
        _OVERLAPS: ("overlaps train", apart < -tolerance),
    }
    return {colour: (words, np.flatnonzero(which)) for colour, (words, which) in chosen.items()}


def _draw_overview(axes: Any, leaks: Leaks, train: Rows, kinds: dict[str, tuple[str, Rows]]) -> None:
    middle = leaks.places.lonlat.mean(axis=1)
    for colour, rows in [(_TRAIN, train), *((colour, rows) for colour, (_, rows) in kinds.items())]:
        size = 2.0 if len(middle) > 5000 else 14.0
        axes.scatter(*middle[rows].T, s=size, c=colour, marker="s", linewidths=0)
    _tidy(axes, "All places", float(np.median(middle[:, 1])))


def _worst(leaks: Leaks, kinds: dict[str, tuple[str, Rows]]) -> tuple[float, float]:
    """Middle of the place with the most places of the worst kind around it; where all is clear, of the one
    that is nearest to train.
    """
    middle = leaks.places.lonlat.mean(axis=1)
    for colour in (_OVERLAPS, _TOUCHES, _NEAR):
        rows = kinds[colour][1]
        if len(rows):
            window = 2 * _WINDOW_SIDES * leaks.places.side_m() / _METRES_A_DEGREE
            cells = np.floor(middle[rows] / window).astype(np.int64)
            _, cell, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
            crowd = middle[rows[cell.reshape(-1) == counts.argmax()]]
            lon, lat = crowd[np.linalg.norm(crowd - crowd.mean(axis=0), axis=1).argmin()]
            return float(lon), float(lat)
    lon, lat = middle[int(np.nanargmin(leaks.apart_m))]
    return float(lon), float(lat)


def _draw_close_up(
    axes: Any, leaks: Leaks, train: Rows, kinds: dict[str, tuple[str, Rows]], centre: tuple[float, float]
) -> None:
    lonlat = leaks.places.lonlat
    nearest = max(float(np.nanmin(leaks.apart_m)), 0.0)
    half = (_WINDOW_SIDES * leaks.places.side_m() + 1.2 * nearest) / _METRES_A_DEGREE
    across = half / np.cos(np.radians(centre[1]))
    for colour, rows in [(_TRAIN, train), *((colour, rows) for colour, (_, rows) in kinds.items())]:
        middle = lonlat[rows].mean(axis=1)
        inside = (np.abs(middle - centre) < 1.3 * np.asarray([across, half])).all(axis=1)
        shapes = PolyCollection(
            lonlat[rows[inside]], facecolors=colour, edgecolors=_INK, linewidths=0.5, alpha=0.6
        )
        axes.add_collection(shapes)
    axes.set_xlim(centre[0] - across, centre[0] + across)
    axes.set_ylim(centre[1] - half, centre[1] + half)
    _tidy(
        axes,
        f"Close up: {2 * half * _METRES_A_DEGREE / 1000:.3g} km across (the square on the left)",
        centre[1],
    )


def _mark(overview: Any, close: Any, centre: tuple[float, float]) -> None:
    """The square of the close-up at its true size; in a wide archive a larger one around it."""
    (left, right), (bottom, top) = close.get_xlim(), close.get_ylim()
    width = float(np.ptp(overview.get_xlim()))
    overview.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, ec=_INK, lw=1.4))
    if right - left < _SMALL * width:
        overview.plot(*centre, marker="s", ms=13, mfc="none", mec=_INK, mew=1.4)


def _tidy(axes: Any, title: str, lat: float) -> None:
    axes.set_aspect(1 / max(np.cos(np.radians(lat)), 0.05))
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    axes.tick_params(labelsize=8, colors=_SOFT)
    axes.ticklabel_format(useOffset=False)
    axes.spines[:].set_color("#d5d3cb")
