"""What every layout gives and takes, and how files are found."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from swath import storage
from swath.data.bad_inputs import BadInputs, BadPolicy
from swath.data.index import IndexInfo
from swath.engine import HERE, Engine
from swath.errors import DataError, UsageError
from swath.location import Location, S3Path

logger = logging.getLogger(__name__)

RASTER_SUFFIXES = {".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg"}
_SHOWN = 5


@dataclass(frozen=True)
class Asked:
    """What the user asked of the index, in plain values; `swath.config.IndexConfig` explains each."""

    labels: Path | None = None
    label_column: str | None = None
    label_columns: tuple[str, ...] = ()
    min_share: float = 0.05
    partial_labels: bool = False
    tile_px: int = 120
    stride_px: int | None = None
    max_nodata: float = 0.0
    band_pattern: str | None = None
    metadata: Location | None = None
    pixels: Location | None = None
    class_order: str | None = None
    recommended: bool = False
    max_pixels: int = 270_000_000
    bad_files: BadPolicy = field(default_factory=BadPolicy)
    mask_folders: str | None = None
    engine: Engine = HERE


@dataclass(frozen=True)
class Layout:
    """An archive that was understood: `batches` have the columns of the index and those of `more`.

    They can be taken once, and `bad` and `skipped` fill while they are.
    """

    info: IndexInfo
    files: int
    batches: Iterator[pa.RecordBatch]
    bad: BadInputs
    skipped: Counter[str] = field(default_factory=Counter)
    more: pa.Schema = field(default_factory=lambda: pa.schema([]))

    @property
    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows one by one, to look at a few."""
        return (row for batch in self.batches for row in batch.to_pylist())


def raster_files(source: Location, *, without: str | None = None) -> list[str]:
    """Paths relative to `source` of everything that is named like a raster, sorted; hidden files left out.

    Folders named `without` are left out too.

    Raises:
        UsageError: there is no such folder.
        DataError: it holds no raster.
    """
    if not storage.is_folder(source):
        raise UsageError(f"no folder {source}. Give the folder that holds the imagery.")
    listed = _visible(source, without) if isinstance(source, Path) else _visible_on_s3(source, without)
    files = list(listed)
    found = sorted(file for file in files if PurePosixPath(file).suffix.lower() in RASTER_SUFFIXES)
    if not found:
        raise DataError(
            f"{source} holds no GeoTIFF, JPEG 2000, PNG or JPEG ({len(files):,} other files). "
            f"Give the folder that holds the imagery."
        )
    return found


def _visible(source: Path, without: str | None) -> Iterator[str]:
    for folder, folders, names in os.walk(source):
        folders[:] = [name for name in folders if _is_looked_into(name, without)]
        inside = Path(folder).relative_to(source)
        yield from ((inside / name).as_posix() for name in names if name[0] != ".")


def _visible_on_s3(source: S3Path, without: str | None) -> Iterator[str]:
    for file in storage.list_files(source):
        *folders, name = file.split("/")
        if name[0] != "." and all(_is_looked_into(folder, without) for folder in folders):
            yield file


def _is_looked_into(folder: str, without: str | None) -> bool:
    return not folder.startswith((".", "__MACOSX")) and folder != without


def first_few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
