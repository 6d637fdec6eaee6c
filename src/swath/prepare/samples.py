"""A handful of tiles in true colour with their labels, from a pack, or read from the files of an index."""

import logging
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from swath.config import PackConfig
from swath.data.bands import TileFormat, true_colour
from swath.data.index import Index
from swath.data.normalize import to_unit
from swath.data.raster import gdal_ready
from swath.data.store import TileStore
from swath.errors import DataError
from swath.pages.pictures import Display, Eye, Rgb, Rows
from swath.prepare.tile_reader import COLUMNS, Pixels, TileReader

log = logging.getLogger(__name__)

_SEED = 0
_MAX_PIXELS: int = PackConfig.model_fields["max_pixels"].default


@dataclass(frozen=True, eq=False)
class Samples:
    """(B, H, W, 3) pictures, their row numbers and labels; `colours` says which bands are shown, and how."""

    rows: Rows
    rgb: Rgb
    labels: list[list[str] | None]
    colours: str


def sample_rows(labels: pa.ChunkedArray, count: int) -> Rows:
    """At most `count` tiles in a fixed shuffled order, those with labels first."""
    order = np.random.default_rng(_SEED).permutation(len(labels))
    described = pc.fill_null(pc.list_value_length(labels), 0).to_numpy()[order] > 0
    return np.concatenate([order[described], order[~described]])[:count].astype(np.int64)


def samples_of(opened: Index | TileStore, count: int) -> Samples | None:
    """None for an index without pixels, or where none of the tiles could be read."""
    if isinstance(opened, TileStore):
        labels = opened.columns("labels")["labels"]
        rows = sample_rows(labels, count)
        display = Display.of(opened, opened.format)
        pictures = display.rgb(display.unit(rows))
        return Samples(rows, pictures, labels.take(rows).to_pylist(), display.eye.colours)
    return _from_files(opened, sample_rows(opened.table["labels"], count)) if opened.info.root else None


def _from_files(index: Index, asked: Rows) -> Samples | None:
    chosen = dict.fromkeys(index.info.bands[place] for place in true_colour(index.info.bands))
    reader = TileReader(index, tuple(chosen), max_pixels=_MAX_PIXELS)
    known, tiles = _read(reader, index.table.select(list(COLUMNS)).take(asked).to_pylist())
    if not tiles:
        return None
    groups = [np.stack(group) for group in zip(*tiles, strict=True)]
    unit = to_unit([torch.from_numpy(group) for group in groups], _format(reader, groups))
    plain = all(group.dtype == np.uint8 for group in groups)
    eye = Eye(reader.bands) if plain else Eye.of(unit, reader.bands)
    rows = asked[known]
    return Samples(rows, eye.rgb(unit), index.table["labels"].take(rows).to_pylist(), eye.colours)


def _read(reader: TileReader, rows: list[dict[str, object]]) -> tuple[list[int], list[list[Pixels]]]:
    """The tiles that can be read, by their places in `rows`; of the others the log names the first."""
    known, tiles, bad = [], [], []
    with gdal_ready(), reader.files_of(rows) as root:
        for place, row in enumerate(rows):
            try:
                tiles.append(reader.read(row, root=root))
            except DataError as error:
                bad.append(error)
            else:
                known.append(place)
    if bad:
        log.warning(f"{len(bad)} of {len(rows)} sample tiles cannot be read and are not shown: {bad[0]}")
    return known, tiles


def _format(reader: TileReader, groups: list[Pixels]) -> TileFormat:
    """As wide as the values of the sample; bytes keep their range."""
    low, high = {}, {}
    for group, pixels in zip(reader.groups, groups, strict=True):
        for channel, band in enumerate(group.bands):
            plain = pixels.dtype == np.uint8
            low[band] = 0.0 if plain else float(pixels[:, channel].min())
            high[band] = 255.0 if plain else max(float(pixels[:, channel].max()), low[band] + 1.0)
    lows, highs = tuple(low[band] for band in reader.bands), tuple(high[band] for band in reader.bands)
    count = len(reader.bands)
    return TileFormat(reader.bands, reader.groups, None, lows, highs, (0.5,) * count, (0.25,) * count)
