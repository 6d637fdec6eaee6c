"""Cloud-Optimised GeoTIFF, written from the top: tiles are compressed, and halved, as soon as they are whole.

GDAL makes one only from a file that is whole, compressed and read once more: ten times the work, after the
network has ended. Here only the copying of compressed tiles waits for the end.
Legend: K bands, h x W pixels of a strip. Level 0 is the whole image, each next one has half the pixels.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from isal import isal_zlib

from swath.serve.predict import tiff_header as tiff
from swath.serve.predict.halving import NODATA, Bytes

_LEVEL = 1  # of deflate: 0.3 ms for 120 x 120 pixels of ten classes, and 20 % longer than zlib's 6, 5.5 ms
_ROWS = 16  # halved at a time, so that sums lie in a cache; even

Halve = Callable[[Bytes], Bytes]


class CogWriter:
    """`write` takes strips from the top; `finish` makes the file at `path`. Nothing is there before.

    `template`: an empty GeoTIFF of the same size, tiled (a multiple of 16), deflated, one plane a band.
    """

    def __init__(self, path: Path, template: bytes, halve: Halve) -> None:
        self._path = path
        self._whole = tiff.directory_in(template)
        width, height = self._whole[tiff.WIDTH].number, self._whole[tiff.HEIGHT].number
        side, bands = self._whole[tiff.TILE_WIDTH].number, self._whole[tiff.BANDS].number
        self._halve = halve
        halvings = 0
        while max(width, height) >> halvings > side:
            halvings += 1
        self._levels = [
            _Level(path.parent, (bands, -(-height >> n), -(-width >> n)), side) for n in range(halvings + 1)
        ]

    def write(self, rows: Bytes) -> None:
        """(K, h, W), what follows below."""
        self._add(0, rows)

    def finish(self) -> None:
        for number, level in enumerate(self._levels):
            self._hand_on(number, level.flush())
        directories = [self._whole] + [
            tiff.overview_of(self._whole, level.width, level.height) for level in self._levels[1:]
        ]
        sizes = [level.sizes for level in self._levels]
        with self._path.open("wb") as file:
            file.write(tiff.header(directories, sizes))
            for level in self._levels[::-1]:  # the smallest first: seen first from afar
                level.copy_to(file)
        self.close()

    def close(self) -> None:
        for level in self._levels:
            level.close()

    def _add(self, number: int, rows: Bytes) -> None:
        for block in self._levels[number].add(rows):
            self._hand_on(number, block)

    def _hand_on(self, number: int, block: Bytes) -> None:
        if number + 1 < len(self._levels):
            for top in range(0, block.shape[1], _ROWS):
                self._add(number + 1, self._halve(_even(block[:, top : top + _ROWS])))


class _Level:
    """One row of tiles in memory, and all above it compressed in a file without a name."""

    def __init__(self, folder: Path, shape: tuple[int, int, int], side: int) -> None:
        bands, self.height, self.width = shape
        self._side = side
        self._rows = np.full((bands, side, -(-self.width // side) * side), NODATA, np.uint8)
        self._held = 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 -- closed by `close`
        self._sizes: list[list[list[int]]] = []  # by row of tiles, band, column

    def add(self, rows: Bytes) -> Iterator[Bytes]:
        """Take rows (K, h, W); gives whole rows of tiles (K, side, W), each to be used before the next."""
        while rows.shape[1]:
            taken = min(self._side - self._held, rows.shape[1])
            self._rows[:, self._held : self._held + taken, : self.width] = rows[:, :taken]
            self._held += taken
            rows = rows[:, taken:]
            if self._held == self._side:
                yield self.flush()

    def flush(self) -> Bytes:
        """Write the rows (K, h, W) that are held, and give them back until more are added."""
        held, self._held = self._held, 0
        self._rows[:, held:] = NODATA
        sizes = []
        for band in self._rows if held else ():
            columns = range(0, band.shape[1], self._side)
            tiles = [isal_zlib.compress(band[:, x : x + self._side].tobytes(), _LEVEL) for x in columns]
            self._file.writelines(
                part for tile in tiles for part in (len(tile).to_bytes(4, "little"), tile, tile[-4:])
            )
            sizes.append([len(tile) for tile in tiles])
        self._sizes += [sizes] if held else []
        return self._rows[:, :held, : self.width]

    @property
    def sizes(self) -> tiff.Numbers:
        """Bytes of the tiles in TIFF's order: band, row, column."""
        return np.asarray(self._sizes, np.int64).transpose(1, 0, 2).ravel()

    def copy_to(self, file: IO[bytes]) -> None:
        """In TIFF's order; here they lie by row, band, column."""
        runs = np.asarray(self._sizes, np.int64).sum(axis=2) + tiff.AROUND_TILE * len(self._sizes[0][0])
        begins = (np.cumsum(runs.ravel()) - runs.ravel()).reshape(runs.shape)
        for begin, length in zip(begins.T.ravel().tolist(), runs.T.ravel().tolist(), strict=True):
            self._file.seek(begin)
            file.write(self._file.read(length))

    def close(self) -> None:
        self._file.close()


def _even(block: Bytes) -> Bytes:
    """With its last row and column twice where they have no neighbour."""
    edges = ((0, 0), (0, block.shape[1] % 2), (0, block.shape[2] % 2))
    return np.pad(block, edges, mode="edge") if edges[1][1] or edges[2][1] else block
