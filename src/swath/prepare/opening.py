"""What describe and audit look at: an index, or packed tiles, which stand alone; and where they write."""

from swath import storage
from swath.data.index import Index, read_index
from swath.data.store import TileStore
from swath.location import Location


def open_index_or_tiles(path: Location) -> Index | TileStore:
    """A folder is taken for packed tiles, a file for an index.

    Raises:
        DataError: it is neither.
    """
    return TileStore(path) if storage.is_folder(path) else read_index(path)


def beside(path: Location, ending: str) -> Location:
    """index.parquet -> index.audit.png, tiles.lance -> tiles.lance.audit.png: both may lie side by side."""
    stem = path.stem if path.suffix == ".parquet" else path.name
    return path.with_name(f"{stem}.{ending}")
