"""From a pack to the features of all its tiles, and to a file of them that is made only where need be."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from swath.data.store import TileStore
from swath.engine import HERE, Engine
from swath.errors import DataError
from swath.features.table import (
    FeatureMaker,
    Origin,
    Rows,
    Values,
    origin_of,
    read_features,
    write_features,
)
from swath.features.unchanged import unchanged_features
from swath.features.unfinished import FeatureRecords, unfinished
from swath.runtime.progress import Progress
from swath.scores.inputs import check_finite

BATCH = 256
log = logging.getLogger(__name__)


def embed(
    path: Path,
    store: TileStore,
    maker: FeatureMaker,
    *,
    batch_size: int = BATCH,
    rows: range | None = None,
    engine: Engine = HERE,
) -> int:
    """Write the features of every tile of the pack, or of a stretch of it, to `path`, in its order, and say
    how many were computed.

    Those that `path` holds of unchanged tiles are kept. What a stopped call computed is gone on from.

    Raises:
        DataError: the tiles do not fit, or are damaged.
        MachineError: another process makes the same file, or the disk is full.
    """
    maker.check_fits(store.format, where=str(store.path))
    rows = range(len(store)) if rows is None else rows
    with unfinished(path, Origin.of(maker, store), dim=maker.dim, rows=rows) as records:
        for known, block in unchanged_features(path, store, maker, among=_missing(records, rows)):
            records.append(known, block)
        missing = _missing(records, rows)
        _compute(_Missing(store, maker, missing, batch_size), records, engine)
        write_features(path, store, maker, records.blocks(BATCH), rows=rows)
    return len(missing)


def kept_features(path: Path, store: TileStore, maker: FeatureMaker, rows: Rows) -> Values:
    """(len(rows), D) features from the file at `path`, made first where need be."""
    wanted = Origin.of(maker, store)
    if not holds(path, wanted):
        embed(path, store, maker)
    features = read_features(path, rows, origin=wanted)
    check_finite(features, what=str(path))
    return features


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


@dataclass(frozen=True)
class _Missing:
    """Tiles `rows` of a pack whose features `maker` is to make, some at a time."""

    store: TileStore
    maker: FeatureMaker
    rows: Rows
    batch_size: int


def _compute(job: _Missing, records: FeatureRecords, engine: Engine) -> None:
    tiles, label = len(job.store), f"features ({job.maker.weights.whose})"
    blocks = engine.over(_blocks_of, job, len(job.rows), at_once=job.batch_size)
    with (
        Progress(tiles, unit="tiles", label=label, start=tiles - len(job.rows)) as progress,
        closing(blocks),
    ):
        for batch, block in blocks:
            records.append(batch, block)
            progress.advance(len(block))


def _blocks_of(job: _Missing, stretch: range) -> Iterator[tuple[Rows, Values]]:
    """Rows (B,) of tiles with their features (B, D); the next batch is read while this one is computed."""
    rows = job.rows[stretch.start : stretch.stop]
    batches = [rows[start : start + job.batch_size] for start in range(0, len(rows), job.batch_size)]

    def read(number: int) -> list[torch.Tensor]:
        if not batches[number:]:
            return []
        return [torch.from_numpy(pixels) for pixels in job.store.read(batches[number])]

    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, 0)
        for number, batch in enumerate(batches):
            groups = ahead.result()
            ahead = reader.submit(read, number + 1)
            yield batch, job.maker.features(groups, job.store.format).numpy()


def _missing(records: FeatureRecords, rows: range) -> Rows:
    is_missing = np.ones(len(rows), dtype=np.bool_)
    is_missing[records.rows() - rows.start] = False
    return np.flatnonzero(is_missing) + rows.start
