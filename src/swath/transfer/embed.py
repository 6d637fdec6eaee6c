"""Stage: run + tiles -> features.parquet. Frozen features are computed once; all that follows reads them."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from swath.config import EmbedConfig
from swath.data.store import TileStore
from swath.errors import DataError
from swath.files import check_output
from swath.results import Result
from swath.runtime.progress import Progress
from swath.runtime.run import Run
from swath.transfer.backbone import open_backbone
from swath.transfer.content import Content
from swath.transfer.features import (
    FeatureMaker,
    Origin,
    Rows,
    Values,
    origin_of,
    read_features,
    write_features,
)

BATCH = 256
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedResult(Result):
    """Where the features are, `dim` numbers a tile, and the digest of the checkpoint they are of."""

    out: Path
    tiles: int
    dim: int
    images_per_s: float
    digest: str


def run(config: EmbedConfig) -> EmbedResult:
    """Compute the features of every tile.

    Raises:
        UsageError: `run` is not a run.
        DataError: the tiles do not fit the run, are damaged, or the run has no whole checkpoint.
        MachineError: the disk is full.
    """
    store = TileStore(config.tiles)
    content = Content(config.features, config.blocks)
    backbone = open_backbone(Run.open(config.run), whose=config.weights, content=content)
    if config.other_data:
        backbone = backbone.for_other_data(store.format, where=str(store.path))
    check_output(config.out, begins=b"PAR1")
    started = time.perf_counter()
    embed(config.out, store, backbone, batch_size=config.batch_size)
    return EmbedResult(
        out=config.out,
        tiles=len(store),
        dim=backbone.dim,
        images_per_s=len(store) / (time.perf_counter() - started),
        digest=backbone.weights.checkpoint,
    )


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
