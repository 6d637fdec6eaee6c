"""Maps of the tiles in the colours of their splits: of one scene, and of an archive of many places."""

import numpy as np
import numpy.typing as npt

from swath.pages.markup import Markup
from swath.pages.mosaic import Boxes, Canvas, Layout
from swath.pages.pictures import Rgb, picture_figure

# In the order of painting: where tiles overlap, test lies over train.
COLOURS = {
    "": (150, 160, 156), "gap": (124, 135, 131), "train": (63, 127, 208), "val": (240, 180, 41),
    "test": (224, 69, 123),
}  # fmt: skip
_GREY = np.asarray([0.3, 0.59, 0.11], dtype=np.float32)
_TINT = 0.5
_ATLAS_PX = 1000
_ATLAS_EDGE = 0.03
_PAPER = (236, 236, 231)
_BAR_SHARE = 0.25  # of the width of the map, at most

Names = npt.NDArray[np.str_]


def scene_map(rgb: Rgb, canvas: Canvas, splits: Names) -> Markup:
    """A canvas in grey under the colours of the splits (n,) of its tiles."""
    layout = canvas.layout
    grey = (rgb.astype(np.float32) @ _GREY)[..., None]
    tint = _tint(layout, splits)
    mixed = (0.35 + 0.65 * grey / 255) * tint * _TINT + grey * (1 - _TINT) + 18
    picture = np.asarray(np.clip(mixed, 0, 255), dtype=np.uint8)
    picture[~canvas.covered] = _PAPER
    _draw_scale(picture, layout)
    what = "The scene" if layout.whole else "A part of the largest scene"
    size = _size_in_words(layout)
    caption = f"{what}{size}, each place in the colour of its split, test over train where tiles overlap."
    return picture_figure(picture, title="Splits on the ground.", caption=caption, alt="map of splits")


def atlas(boxes: Boxes, splits: Names) -> Markup | None:
    """All tiles that have a location (longitude and latitude boxes) as dots; None where none has."""
    known = ~np.isnan(boxes[:, 0])
    if not known.any():
        return None
    x, y = (boxes[known, 0] + boxes[known, 2]) / 2, (boxes[known, 1] + boxes[known, 3]) / 2
    across = (x - x.min()) * np.cos(np.deg2rad(y.mean()))
    down = y.max() - y
    scale = _ATLAS_PX / max(float(across.max()), float(down.max()), 1e-6)
    edge = round(_ATLAS_EDGE * _ATLAS_PX)
    columns, rows = ((np.rint(axis * scale).astype(np.int64) + edge) for axis in (across, down))
    picture = np.full((rows.max() + edge + 1, columns.max() + edge + 1, 3), _PAPER, dtype=np.uint8)
    for split, colour in COLOURS.items():
        chosen = splits[known] == split
        for dy, dx in np.ndindex(3, 3):
            picture[rows[chosen] + dy - 1, columns[chosen] + dx - 1] = colour
    place = f"Longitude {x.min():.2f} to {x.max():.2f}, latitude {y.min():.2f} to {y.max():.2f} degrees."
    return picture_figure(picture, title="All tiles.", caption=place, alt="map of all tiles")


def bar_m(layout: Layout) -> float:
    """The longest round length (1, 2 or 5 times a power of ten) within a quarter of the map, in metres."""
    most = _BAR_SHARE * layout.width_px * (layout.pixel_m or 1.0)
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(factor * power for factor in (1, 2, 5) if factor * power <= most))


def _tint(layout: Layout, splits: Names) -> npt.NDArray[np.float32]:
    """(H, W, 3) colours of the splits."""
    tint = np.zeros((layout.height_px, layout.width_px, 3), dtype=np.float32)
    side = layout.tile_px
    for split, colour in COLOURS.items():
        for tile in np.flatnonzero(splits == split).tolist():
            top, left = int(layout.tops[tile]), int(layout.lefts[tile])
            tint[top : top + side, left : left + side] = colour
    return tint


def _draw_scale(picture: Rgb, layout: Layout) -> None:
    """A white bar in a dark frame near the lower left corner, where the size of a pixel is known."""
    if layout.pixel_m is None:
        return
    height, width = picture.shape[:2]
    length, thick = round(bar_m(layout) / layout.pixel_m), max(2, height // 190)
    y, x = height - max(8, height // 28), max(8, width // 60)
    picture[y - 2 : y + thick + 2, x - 2 : x + length + 2] = 20
    picture[y : y + thick, x : x + length] = 255


def _size_in_words(layout: Layout) -> str:
    if layout.pixel_m is None:
        return ""
    width, height = layout.width_px * layout.pixel_m / 1000, layout.height_px * layout.pixel_m / 1000
    bar = bar_m(layout)
    unit = f"{bar / 1000:g} km" if bar >= 1000 else f"{bar:g} m"
    return f", {width:.3g} x {height:.3g} km (bar: {unit})"
