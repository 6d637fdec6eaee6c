"""Arrays to pictures inside the page, and tiles to the colours an eye expects.

Shapes: unit (B, C, H, W) in [0, 1] in band order; rgb (H, W, 3) or (B, H, W, 3) uint8.
"""

import base64
import io
from dataclasses import dataclass
from typing import Any, Self

import matplotlib.image
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from swath.data.bands import TileFormat, true_colour
from swath.data.normalize import to_unit
from swath.data.store import TileStore
from swath.pages.markup import Markup, element

Rgb = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]

BARE = 225  # grey of a picture where there are no tiles
_SMALL_PX = 64  # smaller pictures are kept exact (PNG), larger ones as JPEG
_TILE_PX = 160
_SAMPLE = 256


@dataclass(frozen=True)
class Eye:
    """Tiles in [0, 1] as an eye wants them: three of `bands`, stretched from `low` to `high`, brightened by
    `gamma`. Bytes are shown as they are; reflectances would look black: most of their range is clouds.
    """

    bands: tuple[str, ...]
    low: tuple[float, ...] = (0.0, 0.0, 0.0)
    high: tuple[float, ...] = (1.0, 1.0, 1.0)
    gamma: float = 1.0

    @classmethod
    def of(cls, sample: Tensor, bands: tuple[str, ...]) -> Self:
        """Find the stretch from a sample (B, C, H, W) of the tiles."""
        shown = sample[:, list(true_colour(bands))].transpose(0, 1).flatten(1)
        low, high = np.percentile(shown.numpy(), (0.5, 98), axis=1)
        return cls(bands, tuple(low.tolist()), tuple(np.maximum(high, low + 1e-6).tolist()), gamma=1.5)

    def rgb(self, unit: Tensor) -> Rgb:
        """(B, C, H, W) -> (B, H, W, 3) uint8."""
        shown = unit[:, list(true_colour(self.bands))].permute(0, 2, 3, 1).float().numpy()
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        stretched = np.clip((shown - low) / (high - low), 0, 1) ** np.float32(1 / self.gamma)
        return np.asarray(np.rint(stretched * 255), dtype=np.uint8)

    @property
    def colours(self) -> str:
        """Which bands are red, green and blue."""
        red, green, blue = (self.bands[place] for place in true_colour(self.bands))
        stretched = "" if self.gamma == 1 else ", stretched for display"
        return f"{red}, {green}, {blue} as red, green, blue{stretched}"


@dataclass(frozen=True, eq=False)
class Display:
    """Tiles as the network takes them (`unit`) and as an eye wants them (`rgb`).

    `seen` is the format that the network was trained with.
    """

    store: TileStore
    seen: TileFormat
    eye: Eye

    @classmethod
    def of(cls, store: TileStore, seen: TileFormat) -> Self:
        """Find the stretch from a sample of the tiles."""
        plain = cls(store, seen, Eye(seen.bands))
        if all(group.dtype == "uint8" for group in seen.groups):
            return plain
        return cls(store, seen, Eye.of(plain.unit(spread_rows(len(store), _SAMPLE)), seen.bands))

    def unit(self, rows: Rows) -> Tensor:
        """(B, C, H, W) float32 in [0, 1] of tiles by row number."""
        return to_unit([torch.from_numpy(pixels) for pixels in self.store.read(rows)], self.seen)

    def rgb(self, unit: Tensor) -> Rgb:
        """(B, C, H, W) -> (B, H, W, 3) uint8."""
        return self.eye.rgb(unit)

    @property
    def words(self) -> str:
        """What a caption must say about the colours."""
        return (
            f"{self.eye.colours}{'.' if self.eye.gamma == 1 else '; the network saw the values as packed.'}"
        )


def column(store: TileStore, name: str) -> list[Any]:
    """One column of all tiles as Python values, None everywhere where the pack lacks it."""
    if name not in store.column_names:
        return [None] * len(store)
    values: list[Any] = store.columns(name)[name].to_pylist()
    return values


def spread_rows(n: int, count: int) -> Rows:
    """At most `count` row numbers spread evenly over 0..n-1."""
    return np.unique(np.linspace(0, n - 1, min(n, count)).round().astype(np.int64))


def at_most(rgb: Rgb, side_px: int) -> Rgb:
    """Reduced (bicubic, antialiased) where a side is longer than `side_px`, else as it is."""
    height, width = rgb.shape[:2]
    share = side_px / max(height, width)
    if share >= 1:
        return rgb
    size = (max(1, round(height * share)), max(1, round(width * share)))
    planes = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float()
    small = F.interpolate(planes, size=size, mode="bicubic", antialias=True, align_corners=False)[0]
    return np.asarray(small.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


def image(rgb: Rgb, *, alt: str, quality: int = 85) -> Markup:
    """An <img> that carries its picture."""
    height, width = rgb.shape[:2]
    small = max(height, width) <= _SMALL_PX
    kind, options = ("png", {"optimize": True}) if small else ("jpeg", {"quality": quality, "subsampling": 0})
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, rgb, format=kind, pil_kwargs=options)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return element("img", src=f"data:image/{kind};base64,{data}", alt=alt, width=width, height=height)


def tile_figure(rgb: Rgb, *, alt: str, caption: Markup | None = None) -> Markup:
    """One tile or view with what is written under it."""
    words = element("figcaption", caption) if caption else None
    return element("figure", image(at_most(rgb, _TILE_PX), alt=alt), words, class_="tile")


def picture_figure(rgb: Rgb, *, title: str, caption: str, alt: str) -> Markup:
    """A large picture with its title and caption."""
    words = element("figcaption", element("b", title), f" {caption}")
    return element("figure", image(rgb, alt=alt), words, class_="picture")
