"""A features file as something to search: what is known of each tile, and its nearest neighbours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import shapely

from swath.errors import DataError, UsageError, did_you_mean
from swath.features.table import Rows, Values, about, read_feature, tile_columns
from swath.serve.search.neighbours import ExactIndex, Neighbours

_LOOKED_AT = 20_000  # ids to compare a mistyped one with: a second


class Archive:
    """The tiles of a features file, by row number.

    Raises:
        DataError: `path` holds no features, those of another version, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.about = about(path)
        self.tiles = tile_columns(path)
        self._exact = ExactIndex(path, tiles=len(self.tiles), dim=self.about.dim)

    def __len__(self) -> int:
        return len(self.tiles)

    def open_index(self) -> None:
        """Read the features now, and not with the first search."""
        self._exact.open()

    def nearest(self, asked: Values, *, k: int, among: Rows | None = None) -> Neighbours:
        """The tiles most like queries (Q, D); see ExactIndex."""
        return self._exact.nearest(asked, k=k, among=among)

    def feature(self, row: int) -> Values:
        """(D,) as stored."""
        return read_feature(self.path, row)

    def describe(self, rows: Sequence[int] | Rows) -> list[dict[str, object]]:
        """What is known of each tile, as plain JSON values; lon and lat are its middle."""
        known = self.tiles.take(np.asarray(rows, dtype=np.int64))
        middles = shapely.centroid(shapely.from_wkb(known["geometry"].to_numpy(zero_copy_only=False)))
        described = []
        for tile, middle in zip(known.drop_columns(["geometry", "crc32"]).to_pylist(), middles, strict=True):
            acquired = tile["acquired"]
            place = {} if middle is None else {"lon": round(middle.x, 6), "lat": round(middle.y, 6)}
            described.append({**tile, "acquired": acquired and acquired.isoformat(), **place})
        return described

    def row_of(self, name: str) -> int:
        """The row of a tile by its id.

        Raises:
            UsageError: no tile has it; the nearest names are shown.
        """
        rows = self._rows_named(name)
        if len(rows) > 1:
            raise DataError(
                f'{self.path} has {len(rows)} tiles with the id "{name}" (rows {rows[0]}, {rows[1]}). '
                "Index the source again."
            )
        if not len(rows):
            raise UsageError(f'no tile "{name}" in {self.path}.{self._alike(name)}')
        return int(rows[0])

    def holds(self, name: str) -> bool:
        return bool(len(self._rows_named(name)))

    def _rows_named(self, name: str) -> npt.NDArray[np.int64]:
        return np.flatnonzero(pc.equal(self.tiles["id"], name).to_numpy())

    def _alike(self, name: str) -> str:
        ids = self.tiles["id"]
        inside = ids.filter(pc.match_substring(ids, name, ignore_case=True))
        if len(inside):
            listed = ", ".join(f'"{found}"' for found in inside.slice(0, 3).to_pylist())
            return f" {len(inside):,} ids hold these letters: {listed}{' ...' if len(inside) > 3 else ''}"
        near = did_you_mean(name, ids.slice(0, _LOOKED_AT).to_pylist())
        return near or f' Ids look like "{ids[0]}".'
