"""From a pack to the features of all its tiles, and to a file of them that is made only where need be."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from swath.data.store import TileStore
from swath.errors import DataError
from swath.features.backbone import Weights
from swath.features.table import FeatureMaker, Origin, Rows, Values, origin_of, read_features, write_features
from swath.runtime.progress import Progress

BATCH = 256
log = logging.getLogger(__name__)


def embed(path: Path, store: TileStore, maker: FeatureMaker, *, batch_size: int = BATCH) -> None:
    """Write the features of every tile of the pack to `path`."""
    maker.check_fits(store.format, where=str(store.path))
    write_features(path, store, maker, blocks_of(store, maker, batch_size=batch_size))


def kept_features(path: Path, store: TileStore, maker: FeatureMaker, rows: Rows) -> Values:
    """(len(rows), D) features from the file at `path`, made first where need be."""
    wanted = Origin.of(maker, store)
    if not holds(path, wanted):
        embed(path, store, maker)
    return read_features(path, rows, origin=wanted)


def holds(path: Path, wanted: Origin) -> bool:
    """Whether there is a file of just these features; the log says what it holds instead."""
    if not path.exists():
        return False
    try:
        found = origin_of(path)
    except DataError as error:
        log.info("%s; it is made again", error)
        return False
    if found != wanted:
        log.info("%s holds features of %s; making those of %s", path, found, wanted)
    return found == wanted


def blocks_of(store: TileStore, maker: FeatureMaker, *, batch_size: int) -> Iterator[Values]:
    """(B, D) features of all tiles in order; the next batch is read while this one is computed."""
    starts = range(0, len(store), batch_size)

    def read(start: int) -> list[torch.Tensor]:
        rows = np.arange(start, min(start + batch_size, len(store)), dtype=np.int64)
        return [torch.from_numpy(pixels) for pixels in store.read(rows)]

    label = f"features ({maker.weights.whose})"
    with ThreadPoolExecutor(1) as reader, Progress(len(store), unit="tiles", label=label) as progress:
        ahead = reader.submit(read, 0)
        for start in starts:
            groups = ahead.result()
            if start + batch_size < len(store):
                ahead = reader.submit(read, start + batch_size)
            block = maker.features(groups, store.format).numpy()
            progress.advance(len(block))
            yield block


def warn_of_other_split(weights: Weights, store: TileStore) -> None:
    """Say that scores may be too good where the network did not learn by the split of these tiles."""
    if weights.split not in {None, store.split_digest}:
        log.warning(
            f"{weights.run} learned by split {weights.split:.12}, {store.path} has split "
            f"{store.split_digest:.12}: the run may have seen test tiles. Pretrain again on these tiles"
        )
