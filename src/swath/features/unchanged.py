"""What a features file holds already of the tiles of a pack: of one that grew, or shares tiles with another.

Legend: N tiles of the pack, M of the file, D numbers a feature.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from swath.data.store import TileStore
from swath.errors import DataError
from swath.features.table import FeatureMaker, Rows, Values, about, feature_blocks, tile_columns


def unchanged_features(
    path: Path, store: TileStore, maker: FeatureMaker, *, among: Rows
) -> Iterator[tuple[Rows, Values]]:
    """Rows (B,) of the pack, each of `among` at most once, with the features (B, D) that `path` has of them.

    The tiles have the same id and the same pixels. Where the statistics of a pack scale its pixels, a feature
    depends on all its tiles, and none is unchanged.

    Raises:
        DataError: the file is damaged.
    """
    if maker.scale != "run" or not _is_of(path, maker):
        return
    places, start = _places(path, store), 0
    places[~np.isin(places, among)] = -1
    for block in feature_blocks(path):
        rows = places[start : start + len(block)]
        yield rows[rows >= 0], block[rows >= 0]
        start += len(block)


def _is_of(path: Path, maker: FeatureMaker) -> bool:
    """Whether there are features of this maker, of whatever pack."""
    if not path.exists():
        return False
    try:
        found = about(path)
    except DataError:  # of another version, or no features: to be written over
        return False
    weights, content, of = maker.weights, maker.content, found.origin
    return found.tile_format == maker.trained and (
        (of.checkpoint, of.weights, of.tokens, of.blocks, of.scale)
        == (weights.checkpoint, weights.whose, content.tokens, content.blocks, maker.scale)
    )


def _places(path: Path, store: TileStore) -> Rows:
    """(M,) the row in the pack of each tile in the file, each once; -1 if it is not there or has changed."""
    old, new = tile_columns(path), store.columns("id", "crc32")
    places = pc.fill_null(pc.index_in(old["id"], new["id"].combine_chunks()), -1).to_numpy().astype(np.int64)
    pixels = pc.fill_null(old["crc32"].cast(pa.int64()), -1).to_numpy()
    is_first = np.zeros(len(places), dtype=np.bool_)
    is_first[np.unique(places, return_index=True)[1]] = True
    return np.where(is_first & (new["crc32"].to_numpy()[places] == pixels), places, -1)
