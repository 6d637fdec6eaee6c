"""Stage: an archive of imagery -> index.parquet, a row a tile."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from swath import storage
from swath.config import IndexConfig
from swath.data.bad_inputs import BadPolicy
from swath.data.index import IndexWriter
from swath.data.masks import MaskClasses, read_mask_classes
from swath.data.tarball import is_archive
from swath.datasets import folder, scenes
from swath.datasets.bigearthnet import source as bigearthnet
from swath.datasets.bigearthnet.catalogue import PREFIX
from swath.datasets.bigearthnet.gdf_builder import TableWriter
from swath.datasets.detect import detect
from swath.datasets.labels_csv import TABLES, read_labels
from swath.datasets.layout import Asked, Layout
from swath.datasets.masks import MaskFolder, with_masks
from swath.datasets.tile_labels import with_tile_labels
from swath.engine import Engine, engine_of
from swath.errors import DataError, UsageError
from swath.location import Location, S3Path
from swath.results import Result
from swath.runtime.progress import Progress

logger = logging.getLogger(__name__)

_FIND: dict[str, Callable[[Any, Asked], Layout]] = {
    "scenes": scenes.find,
    "folder": folder.find,
    "bigearthnet": bigearthnet.find,
}
# Settings of scenes: ready tiles are not cut, and no polygons are laid over them.
_OF_SCENES = ("tile_px", "stride_px", "max_nodata", "min_share", "partial_labels")
_OF_FILES = ("on_bad_file", "max_bad", "max_pixels")  # a catalogue without pixels opens none
_OF_BIGEARTHNET = ("metadata", "class_order", "recommended", "pixels", "like")
_KINDS = {"split": "splits", "country": "countries", "season": "seasons"}  # column -> field of the result
_FLAGS = ("recommended", "seasonal_snow", "cloud_or_shadow", "without_label")


@dataclass(frozen=True)
class IndexResult(Result):
    """What was indexed. `vocabulary` counts the tiles of each label, `skipped` what was left out and why.

    From `splits` to `without_label`: what published data sets know of their tiles.
    """

    out: Location
    layout: str
    files: int
    tiles: int
    bands: tuple[str, ...]
    tile_px: int
    task: str | None
    labelled: int
    vocabulary: dict[str, int]
    class_order: str | None
    skipped: dict[str, int]
    seconds: float
    splits: dict[str, int] = field(default_factory=dict)
    countries: dict[str, int] = field(default_factory=dict)
    seasons: dict[str, int] = field(default_factory=dict)
    recommended: int | None = None
    seasonal_snow: int | None = None
    cloud_or_shadow: int | None = None
    without_label: int | None = None

    @property
    def next_command(self) -> str:
        if self.splits:  # those of a published data set
            return f"swath pack {self.out} --out {self.out.with_name('tiles.lance')}"
        return f"swath split {self.out} --out {self.out.with_name('split.parquet')}"


def run(config: IndexConfig) -> IndexResult:
    """Write the index of `config.source`; nothing is written unless all of it could be read, or bad files may
    be skipped.

    Raises:
        DataError: files are bad, or do not fit together; all of them are counted in one message.
        UsageError: a setting does not go with what the source holds.
    """
    _refuse_engine_without_effect(config)
    with engine_of(config.engine) as engine:
        return _indexed(config, engine)


def _indexed(config: IndexConfig, engine: Engine) -> IndexResult:
    started = time.monotonic()
    layout_name, layout = _understood(config, engine)
    counts = _Counts()
    with (
        Progress(None, unit="tiles", label="indexing") as progress,
        _writer(config, layout) as writer,
    ):
        for batch in layout.batches:
            writer.append(batch)
            counts.add(batch)
            progress.advance(batch.num_rows)
        if writer.rows == 0:
            raise DataError(_nothing_left(config, layout))
    _warn_of_what_trains(counts.published(), writer.rows)
    if not layout.bad.found:
        storage.remove(_listing(config))
    bad = {f"bad {layout.bad.what}": len(layout.bad.found)} if layout.bad.found else {}
    return IndexResult(
        out=config.out,
        layout=layout_name,
        files=layout.files,
        tiles=writer.rows,
        bands=layout.info.bands,
        tile_px=layout.info.tile_px,
        task=layout.info.task,
        class_order=layout.info.class_order or None,
        labelled=counts.labelled,
        vocabulary=counts.of("labels", layout.info.vocabulary),
        **counts.published(),
        skipped=dict(layout.skipped) | bad,
        seconds=round(time.monotonic() - started, 3),
    )


def _writer(config: IndexConfig, layout: Layout) -> IndexWriter | TableWriter:
    if config.like == "gdf-builder":
        return TableWriter(config.out)
    return IndexWriter(config.out, layout.info, more=layout.more)


def _understood(config: IndexConfig, engine: Engine) -> tuple[str, Layout]:
    if storage.is_folder(config.out):
        raise UsageError(
            f"{config.out} is a folder; --out is the file to write, "
            f"for example {config.out / 'index.parquet'}"
        )
    masks = _masks(config)
    asked = replace(_asked(config, mask_folders=masks[0].name if masks else None), engine=engine)
    layout_name, why = (
        detect(config.source, asked) if config.layout == "auto" else (str(config.layout), "asked for")
    )
    logger.info(f"layout: {layout_name} ({why})")
    _refuse_what_changes_nothing(config, layout_name)
    layout = _found(config, layout_name, asked)
    return layout_name, layout if masks is None else with_masks(layout, *masks)


def _found(config: IndexConfig, layout_name: str, asked: Asked) -> Layout:
    """The layout; a folder finds the rows of a table by its files, the others by the ids of their tiles."""
    table = config.labels
    if table is None or layout_name == "folder" or table.suffix.lower() not in TABLES:
        return _FIND[layout_name](config.source, asked)
    if {"min_share", "partial_labels"} & config.model_fields_set:
        raise UsageError("--min-share and --partial-labels are for polygons; a table says each tile's labels")
    if not table.is_file():
        raise UsageError(f"no labels at {table}.")
    read = read_labels(table, label_column=config.label_column, label_columns=config.label_columns)
    layout = _FIND[layout_name](
        config.source, replace(asked, labels=None, label_column=None, label_columns=())
    )
    return with_tile_labels(layout, table, read)


class _Counts:
    """Tiles by label, and by the columns that published data sets have beyond those of every index."""

    def __init__(self) -> None:
        self.labelled = 0
        self._found: dict[str, Counter[Any]] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        labels = batch["labels"]
        self.labelled += len(labels) - labels.null_count
        self._count("labels", labels.flatten())
        for name in (*_KINDS, *_FLAGS):
            if name in batch.schema.names:
                self._count(name, batch[name])

    def of(self, column: str, values: Iterable[str]) -> dict[str, int]:
        found = self._found.get(column, Counter())
        return {value: found[value] for value in values}

    def published(self) -> dict[str, Any]:
        """Fields of IndexResult; what no tile has is left out."""
        kinds: dict[str, Any] = {
            plural: dict(sorted((name, n) for name, n in self._found[column].items() if name is not None))
            for column, plural in _KINDS.items()
            if column in self._found
        }
        return kinds | {
            name: self._found[name][True]
            for name in _FLAGS
            if {True, False} & self._found.get(name, {}).keys()
        }

    def _count(self, name: str, values: pa.Array) -> None:
        counts = pc.value_counts(values)
        pairs = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
        self._found.setdefault(name, Counter()).update(dict(pairs))


def _masks(config: IndexConfig) -> tuple[MaskFolder, MaskClasses] | None:
    """The masks asked for, and the classes of their pixels; one without the other means nothing."""
    if config.masks is None and config.mask_classes is None:
        return None
    if config.masks is None or config.mask_classes is None:
        missing = "--masks" if config.masks is None else "--mask-classes"
        raise UsageError(f"{missing} is missing: masks need a folder (--masks) and a table (--mask-classes)")
    if isinstance(config.source, S3Path):
        raise UsageError(f"--masks: {config.source} lies on S3; masks are read from folders of this machine")
    return MaskFolder.of(config.masks, config.source), read_mask_classes(config.mask_classes)


def _asked(config: IndexConfig, *, mask_folders: str | None) -> Asked:
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
        metadata=config.metadata,
        pixels=config.pixels,
        class_order=config.class_order,
        recommended=config.recommended,
        max_pixels=config.max_pixels,
        mask_folders=mask_folders,
        bad_files=BadPolicy(skip=skip, max_bad=config.max_bad, listing=_listing(config) if skip else None),
    )


def _listing(config: IndexConfig) -> Location:
    return config.out.with_name(f"{config.out.stem}.bad_files.csv")


def _refuse_what_changes_nothing(config: IndexConfig, layout_name: str) -> None:
    idle = [_flag(name) for name in _OF_FILES if name in config.model_fields_set]
    if idle and str(config.source).startswith(PREFIX) and config.pixels is None:
        raise UsageError(
            f"{', '.join(idle)} would change nothing: {config.source} without --pixels opens no file of a "
            f"patch. Leave out {', '.join(idle)}."
        )
    refused = (() if layout_name == "scenes" else _OF_SCENES) + (
        () if layout_name == "bigearthnet" else _OF_BIGEARTHNET
    )
    values = {name: getattr(config, name) for name in refused if name in config.model_fields_set}
    flags = ", ".join(
        _flag(name) for name, value in values.items() if value is not None and value is not False
    )
    if not flags:
        return
    if set(values) & set(_OF_BIGEARTHNET):
        raise UsageError(
            f"{flags} would change nothing: the layout {layout_name} is not BigEarthNet. Leave out {flags}."
        )
    raise UsageError(
        f"{flags} would change nothing: the layout {layout_name} has ready tiles. "
        f"Leave out {flags}, or cut the files as scenes: --layout scenes"
    )


def _refuse_engine_without_effect(config: IndexConfig) -> None:
    source, is_catalogue = config.source, str(config.source).startswith(PREFIX)
    is_table = is_catalogue or source.suffix == ".parquet"
    if config.engine != "local" and (is_archive(source) or (is_table and config.pixels is None)):
        why = "opens no file of a patch" if is_table else "is one stream, which one process reads"
        raise UsageError(f"--engine {config.engine} would change nothing: {source} {why}. Leave it out.")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _warn_of_what_trains(counts: dict[str, Any], tiles: int) -> None:
    """Tiles without a split train; of BigEarthNet those are the ones that its authors advise against."""
    others = tiles - counts.get("recommended", tiles)
    if others and counts.get("splits"):
        logger.warning(
            f"not recommended, for snow, cloud, shadow or want of a label, and without a split: {others:,} "
            "patches. Pretraining draws from them too; leave them out with --recommended."
        )


def _nothing_left(config: IndexConfig, layout: Layout) -> str:
    return (
        f"{config.source}: no tile is left, {layout.skipped['nodata']:,} have more than "
        f"{config.max_nodata:.0%} nodata. Raise --max-nodata, or take smaller tiles with --tile-px."
    )
