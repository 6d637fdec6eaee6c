"""Stage: run + tiles -> features.parquet. Frozen features are computed once; all that follows reads them."""

import time
from dataclasses import dataclass
from pathlib import Path

from swath.config import EmbedConfig
from swath.data.store import TileStore
from swath.features.backbone import open_backbone
from swath.features.content import Content
from swath.features.embedding import embed
from swath.files import check_output
from swath.results import Result
from swath.runtime.run import Run


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
