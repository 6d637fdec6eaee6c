"""The pictures of the tiles of a features file, from the pack that they were made of."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from swath import storage
from swath.data.store import TileStore
from swath.errors import DataError, UsageError
from swath.features.table import Rows
from swath.location import Location, location
from swath.pages.pictures import Display, Rgb
from swath.serve.search.archive import Archive
from swath.serve.search.picture import Picture


@dataclass(frozen=True, eq=False)
class ArchivePixels:
    """`row_of` (N,): the row of the pack that holds each tile of the archive."""

    display: Display
    row_of: Rows

    @classmethod
    def of(cls, archive: Archive, given: Location | None) -> Self:
        """The pack is `given`, or lies where it lay when the features were made.

        Raises:
            UsageError: it is not there any more.
            DataError: the tiles of the archive are not all in it.
        """
        where = given or location(archive.about.tiles)
        if given is None and not storage.exists(where):
            raise UsageError(f"the pack of these features is no longer at {where}; say where: --tiles TILES")
        store = TileStore(where)
        return cls(Display.of(store, store.format), _rows_in(store, archive))

    def of_rows(self, rows: Rows) -> Rgb:
        """(B, H, W, 3) of tiles of the archive."""
        return self.display.rgb(self.display.unit(self.row_of[rows]))

    def of_picture(self, picture: Picture) -> Rgb:
        """(H, W, 3), stretched as the tiles are."""
        return np.asarray(self.display.rgb(picture.unit())[0])


def _rows_in(store: TileStore, archive: Archive) -> Rows:
    if store.digest == archive.about.origin.pack:
        return np.arange(len(archive), dtype=np.int64)
    places = {name: row for row, name in enumerate(store.ids().tolist())}
    names = archive.tiles["id"].to_pylist()
    missing = [name for name in names if name not in places]
    if missing:
        raise DataError(
            f"{store.path} lacks {len(missing):,} of the {len(names):,} embedded tiles, such as "
            f'"{missing[0]}". Give the pack that was embedded: --tiles TILES'
        )
    return np.asarray([places[name] for name in names], dtype=np.int64)
