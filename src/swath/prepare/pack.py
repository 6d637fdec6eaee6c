"""Stage: the pixels of an index in one dataset that training reads at the speed of the disk."""

import json
import logging
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from swath.config import PackConfig
from swath.data.bad_inputs import BadInput, BadInputs
from swath.data.bands import choose_bands
from swath.data.fragment import Checksums, FragmentWriter, Written
from swath.data.index import SCHEMA, Index, read_index
from swath.data.masks import Classes
from swath.data.raster import gdal_ready
from swath.data.statistics import TileStatistics
from swath.data.tarball import is_archive
from swath.data.writer import TileWriter
from swath.engine import Engine, engine_of
from swath.errors import DataError, UsageError
from swath.files import check_is_free
from swath.location import Location, absolute, location
from swath.prepare.pack_archive import pack_archive
from swath.prepare.packed import Count, PackResult, about, bad_tiles, pack_result
from swath.prepare.tile_reader import COLUMNS, TileReader
from swath.runtime.lock import is_alive
from swath.runtime.progress import Progress

logger = logging.getLogger(__name__)

_BATCH = 256  # tiles read by one thread and written together
_MOST_THREADS = 8
_PACKED_COLUMNS = [name for name in SCHEMA.names if name not in COLUMNS or name == "id"]

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class _TileBatch:
    """Tiles `good` (row numbers of the index) with one array (B, Cg, h, w) a group, and those that failed."""

    good: list[int]
    pixels: list[Pixels]
    masks: Classes | None
    bad: list[BadInput]


def run(config: PackConfig) -> PackResult:
    """Pack every tile of an index.

    Raises:
        DataError: tiles are bad, and the policy does not allow it; they are listed in NAME.bad_tiles.csv.
        UsageError: the output exists already, or a band is unknown.
        MachineError: the disk is full.
    """
    if is_archive(config.index):
        return _packed_archive(config, config.index, None)
    index = read_index(config.index)
    pixels = config.pixels or (location(index.info.root) if index.info.root else None)
    if pixels is None:
        raise UsageError(
            f"{config.index} is a catalogue without pixels. Say where they are, for example "
            "--pixels BigEarthNet-S2-v1.0.tar.gz, or index the folder that holds them: swath index DIR"
        )
    if is_archive(pixels):
        if index.info.masks:
            raise UsageError(
                f"{config.index} has masks, which are packed from folders only. Extract the archive and leave"
                f" out --pixels, or index the archive, without masks: swath index {pixels} --out INDEX"
            )
        return _packed_archive(config, pixels, index)
    if config.pixels:
        raise UsageError(
            f"--pixels {config.pixels} is no archive (.tar.gz); leave it out for files in a folder."
        )
    check_is_free(config.out)
    bands = choose_bands(config.bands, index.info.bands)
    reader = TileReader(index, bands, max_pixels=config.max_pixels, scale=config.scale)
    started = time.monotonic()
    _remove_leftovers(config.out)
    bad = BadInputs("tiles", bad_tiles(config))
    with (
        engine_of(config.engine) as engine,
        TileWriter(config.out, groups=reader.groups, info=about(index.info)) as writer,
    ):
        statistics = _copy_tiles(_job(index, reader, writer, bad), writer, bad, engine)
        bad.judge(looked_at=index.table.num_rows)
        writer.finish(
            statistics.tile_format(reader.bands, _gsd_m(index, reader.finest)),
            vocabulary=index.info.vocabulary,
            task=index.info.task,
            mask_vocabulary=() if reader.masks is None else reader.masks.names,
            index_digest=index.digest,
            statistics={band: summary.to_json() for band, summary in statistics.summaries().items()},
        )
    count = Count(tiles=writer.tiles, skipped=len(bad.found))
    return pack_result(config, reader.bands, reader.groups, count, started)


def _packed_archive(config: PackConfig, archive: Location, index: Index | None) -> PackResult:
    if config.engine != "local":
        raise UsageError(
            f"--engine {config.engine} changes nothing for {archive}, one stream that one process reads from "
            "end to end. Leave it out, or extract the archive and index its folder: swath index DIR"
        )
    return pack_archive(config, archive, index)


@dataclass(frozen=True)
class _Job:
    """Which tiles to pack, by what of an index, and where their fragments go."""

    reader: TileReader
    sources: pa.Table
    columns: pa.Table
    counted: npt.NDArray[np.bool_]
    folder: Location
    skip: bool


@dataclass(frozen=True)
class _Packed:
    """What came of a batch or, in the end, of a stretch: its fragments, and counts for the statistics."""

    looked_at: int = 0
    bad: tuple[BadInput, ...] = ()
    written: Written | None = None
    counts: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)


def _job(index: Index, reader: TileReader, writer: TileWriter, bad: BadInputs) -> _Job:
    return _Job(
        reader=reader,
        sources=index.table.select([*COLUMNS, *(["mask_path"] if reader.masks else [])]),
        columns=index.table.select(_PACKED_COLUMNS),
        counted=_counted(index),
        folder=location(absolute(writer.folder)),
        skip=bad.policy.skip,
    )


def _copy_tiles(job: _Job, writer: TileWriter, bad: BadInputs, engine: Engine) -> TileStatistics:
    """Every tile is read in any case, so that all bad ones are listed at once."""
    statistics, tiles = TileStatistics(job.reader.groups), job.columns.num_rows
    done = engine.over(_packed, job, tiles, at_once=_BATCH)
    with Progress(tiles, unit="tiles", label="packing") as progress, closing(done):
        for packed in done:
            bad.found += packed.bad
            progress.advance(packed.looked_at)
            if packed.written:
                writer.adopt(packed.written)
                statistics.add_counts(packed.counts)
    return statistics


def _packed(job: _Job, stretch: range) -> Iterator[_Packed]:
    """Write the good tiles of a stretch, as one fragment; once one is bad, only where that is allowed."""
    statistics = TileStatistics(job.reader.groups)
    checksums: list[Checksums] = []
    bad_found = False
    with FragmentWriter(job.folder, job.reader.groups) as writer:
        for batch in _read_all(job, stretch):
            bad_found = bad_found or bool(batch.bad)
            if batch.good and (job.skip or not bad_found):
                checksums.append(writer.append(_rows_of(job.columns, batch.good), batch.pixels, batch.masks))
                statistics.add([pixels[job.counted[batch.good]] for pixels in batch.pixels])
            yield _Packed(len(batch.good) + len(batch.bad), tuple(batch.bad))
        fragments = [json.dumps(fragment.to_json()) for fragment in writer.end()]
        if fragments:
            yield _Packed(written=Written(fragments, writer.schema, checksums), counts=statistics.counts())


def _rows_of(columns: pa.Table, ascending: list[int]) -> pa.Table:
    """Cut out first: `take` looks at every chunk (0.2 ms a batch, not 7, of 590,000 rows)."""
    first = ascending[0]
    return columns.slice(first, ascending[-1] + 1 - first).take([row - first for row in ascending])


def _read_all(job: _Job, stretch: range) -> Iterator[_TileBatch]:
    """In the order of the index, some batches ahead: GDAL decodes outside Python's lock, so threads pay."""
    threads = min(os.cpu_count() or 1, _MOST_THREADS)
    ahead: deque[Future[_TileBatch]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="swath-read") as pool:
        try:
            for start in range(stretch.start, stretch.stop, _BATCH):
                rows = job.sources.slice(start, min(_BATCH, stretch.stop - start))
                ahead.append(pool.submit(_read_batch, rows, start, job.reader))
                if len(ahead) > threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _read_batch(rows: pa.Table, start: int, reader: TileReader) -> _TileBatch:
    good: list[int] = []
    masks: list[Classes] = []
    tiles, bad = [], []
    listed = rows.to_pylist()
    with gdal_ready(), reader.files_of(listed) as root:
        for number, row in enumerate(listed, start):
            try:
                tile = reader.read(row, root=root)
                if reader.masks:
                    masks.append(reader.read_mask(row))
                tiles.append(tile)
                good.append(number)
            except DataError as error:
                bad.append(BadInput(row["paths"][0], str(error), row["id"]))
    pixels = [np.stack(group) for group in zip(*tiles, strict=True)]
    return _TileBatch(good, pixels, np.stack(masks) if masks else None, bad)


def _counted(index: Index) -> npt.NDArray[np.bool_]:
    """(N,) whose pixels make the statistics: what may be trained on, so that test tiles stay unseen."""
    trains = np.asarray([split in {None, "", "train"} for split in index.table["split"].to_pylist()])
    return trains if trains.any() else ~trains


def _gsd_m(index: Index, finest: float) -> float | None:
    """Metres a pixel of the finest band that is packed; the index holds that of the finest band it has."""
    known = np.asarray(index.table["gsd_m"].drop_null().to_pylist(), dtype=np.float64)
    if not len(known):
        return None
    if known.max() > 1.05 * known.min():
        logger.warning(
            "tiles of %g to %g m a pixel are packed together; their median is kept", known.min(), known.max()
        )
    return float(np.median(known)) / finest


def _remove_leftovers(out: Location) -> None:
    """What a pack to `out` that was killed left behind; its name ends in the number of its process."""
    if not isinstance(out, Path):
        return
    for path in out.parent.glob(f".{out.name}.*.tmp"):
        pid = re.fullmatch(r"\.(\d+)\.tmp", path.name.removeprefix(f".{out.name}"))
        if pid and is_alive(int(pid[1])):
            logger.warning("%s belongs to a pack that still runs (pid %s)", path, pid[1])
        elif pid:
            logger.info("removing %s, left by a pack that was killed", path)
            shutil.rmtree(path, ignore_errors=True)
