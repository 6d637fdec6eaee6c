"""One tile of an index as the pixels to pack: cut out, resampled where it must be, and without holes."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.bands import BandGroup
from swath.data.fetched import LocalCopies
from swath.data.holes import without_holes
from swath.data.index import Index
from swath.data.masks import IGNORE, Classes, MaskClasses, read_mask
from swath.data.raster import Box, read_window
from swath.errors import DataError
from swath.location import location
from swath.prepare.scale import Scale, stored_groups, to_stored

logger = logging.getLogger(__name__)

COLUMNS = ("id", "paths", "x_px", "y_px", "width_px", "height_px")  # what `read` needs of a row

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class _Source:
    """Where the bands of a group come from: their places among the bands of the index, and their grids."""

    places: tuple[int, ...]
    band_px: tuple[float, ...]


class TileReader:
    """Reads tiles of `index` with the given bands, from any thread; `groups` says in which shape and type."""

    def __init__(
        self, index: Index, bands: tuple[str, ...], *, max_pixels: int, scale: Scale = "stored"
    ) -> None:
        self._info = index.info
        self._root = location(index.info.root)
        self._copies = LocalCopies(self._root)
        self._max_pixels = max_pixels
        self.masks = MaskClasses.from_index(index.info.masks)
        self._mask_root = Path(index.info.masks["root"]) if index.info.masks else None
        self.bands = bands
        self.finest = max(index.info.band_px[index.info.bands.index(band)] for band in bands)
        self._scale = scale
        self._groups, self._sources = _plan(index, bands, self.finest)
        self.groups = stored_groups(self._groups, scale)

    @contextlib.contextmanager
    def files_of(self, rows: Sequence[dict[str, Any]]) -> Iterator[Path]:
        """The folder to `read` these rows from: where the index says, or one with copies from S3."""
        places = [place for source in self._sources for place in source.places]
        needed = (row["paths"][place if len(row["paths"]) > 1 else 0] for row in rows for place in places)
        with self._copies.of(needed) as root:
            yield root

    def read(self, row: dict[str, Any], *, root: Path | None = None) -> list[Pixels]:
        """(Cg, h, w) a group; `root` is of `files_of`, needed for files on S3 only.

        Raises:
            DataError: a file is missing, damaged or not as it was indexed, or the tile is blank.
        """
        pairs = zip(self._groups, self._sources, strict=True)
        here = root or Path(str(self._root))
        try:
            tile = [self._read_group(row, group, source, here) for group, source in pairs]
        except DataError as error:
            raise DataError(str(error).replace(str(here), str(self._root))) from error
        if all((pixels == pixels[:, :1, :1]).all() for pixels in tile):
            raise DataError(f"{row['paths'][0]} is blank: every pixel of a band is the same")
        return [to_stored(pixels, self._scale) for pixels in tile]

    def read_mask(self, row: dict[str, Any]) -> Classes:
        """(H, H) classes of the tile on its finest grid; all to be ignored where its image has no mask.

        Raises:
            DataError: the mask is missing, damaged, or holds what is no class of it.
        """
        assert self.masks is not None
        assert self._mask_root is not None
        side = max(group.size_px for group in self.groups)
        if row["mask_path"] is None:
            return np.full((side, side), IGNORE, dtype=np.uint8)
        return read_mask(
            self._mask_root / row["mask_path"],
            _window(row, 1.0),
            side,
            classes=self.masks,
            max_pixels=self._max_pixels,
            root=self._mask_root,
        )

    def _read_group(self, row: dict[str, Any], group: BandGroup, source: _Source, root: Path) -> Pixels:
        if len(row["paths"]) == 1:
            bands = tuple(place + 1 for place in source.places)
            pixels = self._read_file(root, row["paths"][0], bands, _window(row, source.band_px[0]), group)
        else:
            layers = [
                self._read_file(root, row["paths"][place], (1,), _window(row, band_px), group)
                for place, band_px in zip(source.places, source.band_px, strict=True)
            ]
            pixels = np.concatenate(layers)
        return without_holes(pixels, self._info.nodata, group, row["paths"][0])

    def _read_file(
        self, root: Path, path: str, bands: tuple[int, ...], window: Box, group: BandGroup
    ) -> Pixels:
        pixels = read_window(
            root / path,
            bands=bands,
            window=window,
            out_px=(group.size_px, group.size_px),
            max_pixels=self._max_pixels,
            root=root,
        )
        if pixels.dtype != np.dtype(group.dtype):
            raise DataError(
                f"{path} has {pixels.dtype} pixels, the index says {group.dtype}. Index it again."
            )
        return pixels


def _plan(index: Index, bands: tuple[str, ...], finest: float) -> tuple[tuple[BandGroup, ...], list[_Source]]:
    """Bands of one size and type stay together; the finest come first, in the order asked for."""
    info = index.info
    finest_px = round(info.tile_px * finest)
    members: dict[tuple[int, str], list[int]] = {}
    for place in (info.bands.index(band) for band in bands):
        size_px = _size_px(index, place)
        if size_px is None:
            size_px = finest_px
            logger.info(
                "band %s: its pixels do not divide the tiles, resampled to %d px",
                info.bands[place],
                finest_px,
            )
        members.setdefault((size_px, info.dtypes[place]), []).append(place)
    groups, sources = [], []
    for (size_px, dtype), places in sorted(members.items(), key=lambda member: -member[0][0]):
        groups.append(BandGroup(tuple(info.bands[place] for place in places), size_px, dtype))
        sources.append(_Source(tuple(places), tuple(info.band_px[place] for place in places)))
    return tuple(groups), sources


def _size_px(index: Index, place: int) -> int | None:
    """Pixels a side of a band's own grid, or None where tiles begin or end inside its pixels."""
    band_px = index.info.band_px[place]
    sides = [index.table[name].to_numpy() * band_px for name in ("x_px", "y_px", "width_px", "height_px")]
    if any((np.abs(side - np.round(side)) > 1e-6).any() for side in sides):
        return None
    return round(index.info.tile_px * band_px)


def _window(row: dict[str, Any], band_px: float) -> Box:
    """In pixels of the band; a sixth of 66 is 11, not 11.000000000000002."""
    x, y, width, height = (row[side] * band_px for side in ("x_px", "y_px", "width_px", "height_px"))
    return (round(x, 6), round(y, 6), round(width, 6), round(height, 6))
