"""A features file as something to search: what is known of each tile, and its nearest neighbours."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import shapely

from swath.errors import DataError, UsageError, did_you_mean
from swath.features.table import Rows, Values, about, read_feature, tile_columns
from swath.serve.search.cell_building import kept_cells
from swath.serve.search.cells import CellIndex
from swath.serve.search.neighbours import ExactIndex, Neighbours

APPROXIMATE_FROM = 1_000_000  # tiles
_LOOKED_AT = 20_000  # ids to compare a mistyped one with: a second


class Archive:
    """The tiles of a features file, by row number.

    From a million tiles on their nearest are found by an index on the disk, unless all are to be compared
    (`exact`) or there is no place to keep one (`keeps_index`).

    Raises:
        DataError: `path` holds no features, those of another version, or is damaged.
        UsageError: `exact` makes no difference.
    """

    def __init__(self, path: Path, *, exact: bool = False, keeps_index: bool = True) -> None:
        self.path = path
        self.about = about(path)
        self.tiles = tile_columns(path)
        self._exact = ExactIndex(path, tiles=len(self.tiles), dim=self.about.dim)
        is_small = len(self) < APPROXIMATE_FROM
        self._is_exact = exact or is_small or not keeps_index
        if exact and (is_small or not keeps_index):
            where = f"below {APPROXIMATE_FROM:,}" if is_small else "on S3"
            raise UsageError(
                f"--exact would change nothing: {path} has {len(self):,} tiles, and {where} every one is "
                "compared; leave it out"
            )

    def __len__(self) -> int:
        return len(self.tiles)

    def open_index(self, k: int, *, among: Rows | None = None) -> float | None:
        """Read, or make, what a search for k needs; its recall, or None if it looks at every tile."""
        if self._is_exact:
            self._exact.open()
            return None
        return self._cells.depth(k, among=among).recall

    def nearest(self, asked: Values, *, k: int, among: Rows | None = None) -> Neighbours:
        """The tiles most like queries (Q, D), at most k, and only `among` these rows; see the two indexes."""
        if self._is_exact:
            return self._exact.nearest(asked, k=k, among=among)
        look_at = self._cells.depth(k, among=among).looked_at
        return self._cells.nearest(asked, k=k, look_at=look_at, among=among)

    @cached_property
    def _cells(self) -> CellIndex:
        return kept_cells(self.path, tiles=len(self), dim=self.about.dim)

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
            raise UsageError(f'no tile "{name}" in {self.path}.{self.alike(name)}')
        return int(rows[0])

    def holds(self, name: str) -> bool:
        return bool(len(self._rows_named(name)))

    def _rows_named(self, name: str) -> npt.NDArray[np.int64]:
        return np.flatnonzero(pc.equal(self.tiles["id"], name).to_numpy())

    def alike(self, name: str) -> str:
        """A sentence about the ids that are most like a mistyped one."""
        ids = self.tiles["id"]
        inside = ids.filter(pc.match_substring(ids, name, ignore_case=True))
        if len(inside):
            listed = ", ".join(f'"{found}"' for found in inside.slice(0, 3).to_pylist())
            many = f"{len(inside):,} ids hold" if len(inside) > 1 else "1 id holds"
            return f" {many} these letters: {listed}{' ...' if len(inside) > 3 else ''}"
        near = did_you_mean(name, ids.slice(0, _LOOKED_AT).to_pylist())
        return near or f' Ids look like "{ids[0]}".'
