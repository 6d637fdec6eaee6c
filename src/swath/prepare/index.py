"""Stage: an archive of imagery -> index.parquet, a row a tile."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from swath import storage
from swath.config import IndexConfig
from swath.data.bad_inputs import BadPolicy
from swath.data.index import IndexWriter
from swath.datasets import folder, scenes
from swath.datasets.bigearthnet import archive as bigearthnet
from swath.datasets.detect import detect
from swath.datasets.layout import Asked, Layout
from swath.errors import DataError, UsageError
from swath.location import Location, S3Path
from swath.results import Result
from swath.runtime.progress import Progress

logger = logging.getLogger(__name__)

_FIND: dict[str, Callable[[Path, Asked], Layout]] = {
    "scenes": scenes.find,
    "folder": folder.find,
    "bigearthnet": bigearthnet.find,
}
# Settings of scenes: ready tiles are not cut, and no polygons are laid over them.
_OF_SCENES = ("tile_px", "stride_px", "max_nodata", "min_share", "partial_labels")


@dataclass(frozen=True)
class IndexResult(Result):
    """What was indexed. `vocabulary` counts the tiles of each label, `skipped` what was left out and why."""

    out: Location
    layout: str
    files: int
    tiles: int
    bands: tuple[str, ...]
    tile_px: int
    task: str | None
    labelled: int
    vocabulary: dict[str, int]
    skipped: dict[str, int]
    seconds: float


def run(config: IndexConfig) -> IndexResult:
    """Write the index of `config.source`; nothing is written unless all of it could be read, or bad files may
    be skipped.

    Raises:
        DataError: files are bad, or do not fit together; all of them are counted in one message.
        UsageError: a setting does not go with what the source holds.
    """
    started = time.monotonic()
    if storage.is_folder(config.out):
        raise UsageError(
            f"{config.out} is a folder; --out is the file to write, "
            f"for example {config.out / 'index.parquet'}"
        )
    if isinstance(config.source, S3Path):
        raise UsageError(f"{config.source}: reading from S3 is not supported yet. Copy the files here first.")
    if not config.source.exists():
        raise UsageError(f"no folder or file {config.source}. Give the folder that holds the imagery.")
    asked = _asked(config)
    layout_name, why = (
        (config.layout, "asked for") if config.layout != "auto" else detect(config.source, asked)
    )
    logger.info(f"layout: {layout_name} ({why})")
    if layout_name != "scenes":
        _refuse_what_ready_tiles_ignore(config, layout_name)
    layout = _FIND[layout_name](config.source, asked)
    counts = _Counts()
    with (
        Progress(None, unit="tiles", label="indexing") as progress,
        IndexWriter(config.out, layout.info, more=layout.more) as writer,
    ):
        for batch in layout.batches:
            writer.append(batch)
            counts.add(batch)
            progress.advance(batch.num_rows)
        if writer.rows == 0:
            raise DataError(_nothing_left(config, layout))
    if not layout.bad.found:
        storage.remove(_listing(config))
    return IndexResult(
        out=config.out,
        layout=layout_name,
        files=layout.files,
        tiles=writer.rows,
        bands=layout.info.bands,
        tile_px=layout.info.tile_px,
        task=layout.info.task,
        labelled=counts.labelled,
        vocabulary={name: counts.labels[name] for name in layout.info.vocabulary},
        skipped=dict(layout.skipped)
        | ({f"bad {layout.bad.what}": len(layout.bad.found)} if layout.bad.found else {}),
        seconds=round(time.monotonic() - started, 3),
    )


class _Counts:
    def __init__(self) -> None:
        self.labelled = 0
        self.labels: Counter[str] = Counter()

    def add(self, batch: pa.RecordBatch) -> None:
        labels = batch["labels"]
        self.labelled += len(labels) - labels.null_count
        self.labels.update(labels.flatten().to_pylist())


def _asked(config: IndexConfig) -> Asked:
    skip = config.on_bad_file == "skip"
    return Asked(
        labels=config.labels,
        label_column=config.label_column,
        label_columns=config.label_columns,
        min_share=config.min_share,
        partial_labels=config.partial_labels,
        tile_px=config.tile_px,
        stride_px=config.stride_px,
        max_nodata=config.max_nodata,
        band_pattern=config.band_pattern,
        max_pixels=config.max_pixels,
        bad_files=BadPolicy(skip=skip, max_bad=config.max_bad, listing=_listing(config) if skip else None),
    )


def _listing(config: IndexConfig) -> Location:
    return config.out.with_name(f"{config.out.stem}.bad_files.csv")


def _refuse_what_ready_tiles_ignore(config: IndexConfig, layout_name: str) -> None:
    values = {name: getattr(config, name) for name in _OF_SCENES if name in config.model_fields_set}
    flags = ", ".join(
        f"--{name.replace('_', '-')}"
        for name, value in values.items()
        if value is not None and value is not False
    )
    if flags:
        raise UsageError(
            f"{flags} would change nothing: the layout {layout_name} has ready tiles. "
            f"Leave out {flags}, or cut the files as scenes: --layout scenes"
        )


def _nothing_left(config: IndexConfig, layout: Layout) -> str:
    return (
        f"{config.source}: no tile is left, {layout.skipped['nodata']:,} have more than "
        f"{config.max_nodata:.0%} nodata. Raise --max-nodata, or take smaller tiles with --tile-px."
    )
