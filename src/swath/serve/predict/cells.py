"""The rows of a segmentation's table: mean probabilities of the pixels of each tile of the scene.

Tiles lie side by side; those at the right and the bottom edge are cut where the scene ends.
Legend: K classes, h x W pixels of a strip, n cells along a row.
"""

import numpy as np
import numpy.typing as npt

from swath.serve.predict.table import TileTable

Floats = npt.NDArray[np.float32]
Holes = npt.NDArray[np.bool_]


class CellMeans:
    """Takes strips from the top, and adds a row to the table for each cell that has a pixel with data."""

    def __init__(self, side_px: int) -> None:
        self._side = side_px
        self._sums: npt.NDArray[np.float64] | None = None  # (K, n)
        self._counts = np.zeros(0)
        self._row = 0
        self._height = self._width = 0

    def add(self, top: int, probabilities: Floats, blank: Holes, table: TileTable) -> None:
        """A strip (K, h, W) that begins at row `top`."""
        bottom = top + probabilities.shape[1]
        for row in range(top // self._side, -(-bottom // self._side)):
            if row != self._row:
                self.end(table)
                self._row = row
            inside = slice(max(top, row * self._side) - top, min(bottom, (row + 1) * self._side) - top)
            self._gather(probabilities[:, inside], ~blank[inside])

    def end(self, table: TileTable) -> None:
        """Add the rows of what was gathered."""
        if self._sums is None:
            return
        for column in np.flatnonzero(self._counts):
            x, y = int(column) * self._side, self._row * self._side
            width = min(self._side, self._width - x)
            table.add(
                (x, y, width, self._height), (self._sums[:, column] / self._counts[column]).astype(np.float32)
            )
        self._sums, self._height = None, 0

    def _gather(self, probabilities: Floats, known: Holes) -> None:
        starts = np.arange(0, known.shape[1], self._side)
        sums = np.add.reduceat((probabilities * known).sum(axis=1, dtype=np.float64), starts, axis=1)
        counts = np.add.reduceat(known.sum(axis=0, dtype=np.float64), starts)
        if self._sums is None:
            self._sums, self._counts = np.zeros_like(sums), np.zeros_like(counts)
        self._sums += sums
        self._counts = self._counts + counts
        self._height += known.shape[0]
        self._width = known.shape[1]
