"""The nearest tiles of a large archive, nearly all of them: only cells of features near the query are read.

An inverted file (Jegou, Douze and Schmid 2011) of whole vectors: every tile lies in the cell of the centre it
is most like, and a search reads the cells of the centres that the query is most like, one after another.
Shapes: N tiles that have a direction, C cells, Q queries, D numbers a feature, k neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from swath.errors import DataError
from swath.features.table import Rows, Values
from swath.files import read_json
from swath.scores.knn import nearest_in, unit_rows
from swath.serve.search.neighbours import Neighbours

Mask = npt.NDArray[np.bool_]

VERSION = 1
DESCRIBED, CENTRES, STARTS, ROWS, UNIT = "index.json", "centres.npy", "starts.npy", "rows.npy", "unit.f16"


@dataclass(frozen=True)
class Depth:
    """For up to `k` neighbours so many tiles are looked at, which finds the share `recall` of the true ones
    (of tiles drawn at random, when the index was made; None where all tiles are looked at).
    """

    k: int
    looked_at: int
    recall: float | None


class CellIndex:
    """An index on the disk; memory holds the centres and the cells of one query.

    Raises:
        DataError: it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.depths = tuple(Depth(**depth) for depth in read_json(folder / DESCRIBED))
            self._centres = torch.from_numpy(np.load(folder / CENTRES))  # (C, D)
            self._starts = np.load(folder / STARTS).tolist()  # (C + 1,)
            self.rows: Rows = np.load(folder / ROWS, mmap_mode="r")  # (N,) of the archive, cell by cell
            shape = (self._starts[-1], self._centres.shape[1])
            # "c": never written, but torch asks for memory that could be.
            self._unit = np.memmap(folder / UNIT, np.float16, mode="c", shape=shape)
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{folder} is damaged; remove it, and it is made again") from error

    def depth(self, k: int, *, among: Rows | None = None) -> Depth:
        """How deep to look for k neighbours, among these rows where they are given.

        The k nearest of one tile in ten are about as far away as the 10 k nearest of all. Where that is more
        than was measured, every tile is looked at.
        """
        tiles = len(self.rows)
        alike = k if among is None else -(-k * tiles // max(1, len(among)))
        return next((depth for depth in self.depths if depth.k >= alike), Depth(k, tiles, None))

    def nearest(self, asked: Values, *, k: int, look_at: int, among: Rows | None = None) -> Neighbours:
        """Of queries (Q, D) of any length; k, and only `among` these rows where they are given.

        Cells are read until they held `look_at` tiles, and k that may be found: fewer than k come back only
        where there are no more.
        """
        allowed = None if among is None else self._mask(among)
        found = [self._of_one(query, k, look_at, allowed) for query in unit_rows(asked)]
        return Neighbours(np.stack([rows for rows, _ in found]), np.stack([near for _, near in found]))

    def _mask(self, among: Rows) -> Mask:
        mask = np.zeros(1 + max(int(self.rows.max()), int(among.max(initial=0))), dtype=np.bool_)
        mask[among] = True
        return mask

    def _of_one(self, query: Tensor, k: int, look_at: int, allowed: Mask | None) -> tuple[Rows, Values]:
        chosen = list(self._chosen(query, k, look_at, allowed))
        blocks = (torch.from_numpy(self._unit[places]) for places in chosen)
        similarities, found = nearest_in(blocks, query[None], k=k)
        rows = np.concatenate([self.rows[places] for places in chosen])
        return rows[found[0].numpy()], similarities[0].numpy()

    def _chosen(self, query: Tensor, k: int, look_at: int, allowed: Mask | None) -> Iterator[slice | Rows]:
        """Where the tiles lie that may be found, cell by cell, the nearest cell first."""
        looked_at = found = 0
        for cell in (self._centres @ query).argsort(descending=True).tolist():
            here = slice(self._starts[cell], self._starts[cell + 1])
            places = here if allowed is None else here.start + np.flatnonzero(allowed[self.rows[here]])
            yield places
            looked_at += here.stop - here.start
            found += len(self.rows[places])
            if looked_at >= look_at and found >= k:
                return
