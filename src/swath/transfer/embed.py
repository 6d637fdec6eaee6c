"""Stage: run + tiles -> features.parquet. Frozen features are computed once; all that follows reads them."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from swath import storage
from swath.config import EmbedConfig
from swath.config.settings import part_of
from swath.data.store import TileStore
from swath.engine import engine_of
from swath.errors import DataError, UsageError
from swath.features.backbone import Weights, open_backbone
from swath.features.content import Content
from swath.features.embedding import embed
from swath.features.table import about
from swath.files import check_output
from swath.location import Location, S3Path
from swath.results import Result
from swath.runtime.mirror import run_here
from swath.runtime.run import Run


@dataclass(frozen=True)
class EmbedResult(Result):
    """Where the features are, `dim` numbers a tile, and the digest of the checkpoint they are of. `computed`
    tiles had no features there yet; `images_per_s` is None where all had.
    """

    out: Location
    tiles: int
    computed: int
    dim: int
    images_per_s: float | None
    digest: str


def run(config: EmbedConfig) -> EmbedResult:
    """Compute the features of every tile that has none yet in the file, and write all, in the pack's order.

    Raises:
        UsageError: `run` is not a run; the file holds features of another run.
        DataError: the tiles do not fit the run, are damaged, or the run has no whole checkpoint.
        MachineError: the disk is full, or another process makes the same file.
    """
    store = TileStore(config.tiles)
    content = Content(config.features, config.blocks)
    with run_here(config.run) as folder:
        backbone = open_backbone(Run.open(folder), whose=config.weights, content=content)
    if config.other_data:
        backbone = backbone.for_other_data(store.format, where=str(store.path))
    check_output(config.out, begins=b"PAR1")
    started = time.perf_counter()
    rows = _rows(len(store), config)
    with (
        engine_of(config.engine, on_gpu=backbone.device.type == "cuda") as engine,
        _here(config.out) as out,
    ):
        _check_is_not_of_another_run(out, backbone.weights)
        computed = embed(out, store, backbone, batch_size=config.batch_size, rows=rows, engine=engine)
    return EmbedResult(
        out=config.out,
        tiles=len(rows),
        computed=computed,
        dim=backbone.dim,
        images_per_s=computed / (time.perf_counter() - started) if computed else None,
        digest=backbone.weights.checkpoint,
    )


def _here(out: Location) -> contextlib.AbstractContextManager[Path]:
    """The file to write; one on S3 is made here, all of it, and then put there."""
    return storage.object_aside(out) if isinstance(out, S3Path) else contextlib.nullcontext(out)


def _check_is_not_of_another_run(path: Path, weights: Weights) -> None:
    """A run that was trained on, or moved, is the same run."""
    try:
        found = about(path) if path.exists() else None
    except DataError:  # an older version, or no features: written over, as ever
        return
    if found and found.run not in {None, weights.run} and found.origin.checkpoint != weights.checkpoint:
        raise UsageError(
            f"{path} holds features of another run, {found.run}; those of {weights.run} cannot be compared "
            "with them. Choose another --out, or remove the file."
        )


def _rows(tiles: int, config: EmbedConfig) -> range:
    """All, or a stretch of whole batches: so no tile is computed in other company than by one machine."""
    number, of = part_of(config.part) if config.part else (1, 1)
    batches = -(-tiles // config.batch_size)
    start, stop = (batches * k // of * config.batch_size for k in (number - 1, number))
    return range(start, min(stop, tiles))
