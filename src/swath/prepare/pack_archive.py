"""Packing BigEarthNet straight from its archive: one pass, nothing extracted, stopped and gone on with."""

import contextlib
import hashlib
import itertools
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from swath import storage
from swath.config import PackConfig
from swath.data.bad_inputs import BadInput, BadInputs
from swath.data.bands import BandGroup, choose_bands
from swath.data.index import Index
from swath.data.statistics import TileStatistics
from swath.data.store import Pixels
from swath.data.tarball import BrokenArchiveError, RefusedArchiveError, Tarball
from swath.data.unfinished import UnfinishedWriter, part_of
from swath.datasets.bigearthnet.sensors import GSD_M, PatchFiles
from swath.datasets.bigearthnet.stream import ArchivedPatch, DecodedPatch, decode, patches
from swath.errors import DataError, Stopped, UsageError
from swath.files import check_is_free
from swath.location import Location, absolute
from swath.prepare.archive_rows import ArchiveRows
from swath.prepare.packed import Count, PackResult, about, bad_tiles, pack_result
from swath.prepare.scale import stored_groups, to_stored
from swath.runtime.lock import LOCK_NAME, RunLock
from swath.runtime.progress import Progress, duration
from swath.runtime.signals import StopFlag

logger = logging.getLogger(__name__)

_BATCH = 256  # patches written together
_SAVE_EVERY = 65_536  # patches a fragment: at 600 patches/s a kill costs 110 s of work, a stop none
_HEAD_BYTES = 1 << 16  # they tell one archive from another of the same name


def pack_archive(config: PackConfig, archive: Location, index: Index | None) -> PackResult:
    """Pack the patches of an archive; with an index, those that it lists, with what it says of them.

    What was packed is kept when the archive turns out to be cut, when patches are bad, and when a signal
    comes: the same command goes on.

    Raises:
        DataError: the archive holds no patches, or members that are refused, or is cut; patches are bad.
        UsageError: a band is unknown, the output exists, or was begun with other settings.
        Stopped: SIGTERM, SIGINT or SIGUSR1 came; all is saved.
    """
    if "max_pixels" in config.model_fields_set:
        raise UsageError("--max-pixels changes nothing for an archive: its tiles have 120 px. Leave it out.")
    if isinstance(config.out, Path):
        check_is_free(config.out)
    started = time.monotonic()
    with Tarball(archive) as tarball, StopFlag() as stop:
        stream = patches(tarball)
        first = next(stream, None)
        if first is None:
            raise DataError(
                f"{archive} holds no patch of BigEarthNet (.../S2A_MSIL2A_.../S2A_MSIL2A_..._B04.tif). "
                "Extract other archives, then: swath index DIR"
            )
        packing = _Packing(config, tarball, ArchiveRows(first, index), files=first.files)
        with _alone(config.out), packing.writer:
            try:
                packing.copy(itertools.chain([first], stream), stop)
            except BrokenArchiveError as error:
                packing.save()
                raise DataError(
                    f"{error}. {packing.kept()} With the whole one, the same command goes on."
                ) from error
            except RefusedArchiveError:
                packing.writer.discard()
                raise
            packing.finish()
    return packing.result(started)


@contextlib.contextmanager
def _alone(out: Location) -> Iterator[None]:
    """Keep a second pack to `out` away; on S3 there are no locks, and the writer has a claim."""
    part = part_of(out)
    if not isinstance(part, Path) or not isinstance(out, Path):
        yield
        return
    with RunLock(part):
        yield
    (out / LOCK_NAME).unlink(missing_ok=True)  # it was renamed with its folder


class _Packing:
    """One archive on its way into one pack; all that matters for going on is in what `save` keeps."""

    def __init__(self, config: PackConfig, tarball: Tarball, rows: ArchiveRows, *, files: PatchFiles) -> None:
        self._tarball, self._rows, self._scale = tarball, rows, config.scale
        self._config = config
        self._bands = choose_bands(config.bands, files.bands)
        self._groups = stored_groups(_groups(files, self._bands), config.scale)
        self._bad = BadInputs("patches", bad_tiles(config))
        # Tiles of the split train make the statistics, and any others where none is.
        self._counted, self._others = TileStatistics(self._groups), TileStatistics(self._groups)
        self._batch: list[DecodedPatch] = []
        self._seen = self._left_out = self._saved = self._before = 0
        info = about(rows.info) | {"root": absolute(tarball.path)}
        work = {
            "archive": tarball.path.name,
            "first bytes": hashlib.sha256(storage.read_range(tarball.path, 0, _HEAD_BYTES)).hexdigest(),
            "bands": self._bands,
            "scale": config.scale,
            "index": rows.digest,
        }
        self.writer = UnfinishedWriter(config.out, groups=self._groups, info=info, work=work)

    def copy(self, stream: Iterable[ArchivedPatch], stop: StopFlag) -> None:
        """Pack what is not packed yet; every patch is looked at, so that all bad ones are listed."""
        self._restore()
        began, behind = time.monotonic(), self._seen
        with Progress(None, unit="patches", label="packing", start=behind) as progress:
            for number, patch in enumerate(stream, 1):
                if number > behind:
                    self._take(patch)
                if stop:
                    self.save()
                    raise Stopped(f"stopped by {stop.signal}; {self.kept()} The same command goes on.")
                if number % _BATCH == 0:
                    progress.advance(min(_BATCH, max(0, number - behind)), **self._shown(began))
        self.save()

    def save(self) -> None:
        """Keep what was packed so far."""
        self._write()
        if not self.writer.tiles:
            return
        arrays: dict[str, Pixels] = {"found": self._rows.found}
        for name, statistics in (("counted", self._counted), ("others", self._others)):
            arrays |= {f"{name} {band}": counts for band, counts in statistics.counts().items()}
        bad = [(entry.path, entry.reason, entry.id) for entry in self._bad.found]
        self.writer.save({"seen": self._seen, "left_out": self._left_out, "bad": bad}, arrays)
        self._saved = self.writer.tiles

    def kept(self) -> str:
        return f"{self.writer.tiles:,} patches are packed and kept."

    def finish(self) -> None:
        """Judge the bad ones, and make it a pack.

        Raises:
            DataError: more are bad than allowed; what was packed is kept for another --on-bad-tile.
        """
        if not self.writer.tiles and not self._bad.found:
            raise DataError(f"none of the {self._seen:,} patches is in {self._rows.listed_in}.")
        missing = self._rows.missing()
        reason = f"not in {self._tarball.path}"
        self._bad.found += [BadInput(name, f"{name} is {reason}", name) for name in missing]
        self._bad.judge(looked_at=self._seen - self._left_out + len(missing))
        if self._left_out:
            count = f"{self._left_out:,} of {self._seen:,} patches"
            logger.info(f"{count} are not in {self._rows.listed_in}: left out")
        statistics = self._counted if self._counted.pixels else self._others
        self.writer.finish(
            statistics.tile_format(self._bands, GSD_M),
            vocabulary=self._rows.info.vocabulary,
            task=self._rows.info.task,
            index_digest=self._rows.digest,
            statistics={band: summary.to_json() for band, summary in statistics.summaries().items()},
        )

    def result(self, started: float) -> PackResult:
        count = Count(tiles=self.writer.tiles, skipped=len(self._bad.found), before=self._before)
        return pack_result(self._config, self._bands, self._groups, count, started)

    def _restore(self) -> None:
        done, arrays = self.writer.done, self.writer.arrays
        if not done:
            return
        self._seen, self._left_out = done["seen"], done["left_out"]
        self._saved = self._before = self.writer.tiles
        self._bad.found = [BadInput(*entry) for entry in done["bad"]]
        self._rows.found[:] = arrays["found"]
        for name, statistics in (("counted", self._counted), ("others", self._others)):
            statistics.restore({band: arrays[f"{name} {band}"] for band in self._bands})
        logger.info(f"going on with {self._config.out}: {self.kept()}")

    def _take(self, patch: ArchivedPatch) -> None:
        self._seen += 1
        if not self._rows.wants(patch.name):
            self._left_out += 1
            return
        self._rows.find(patch.name)
        try:
            self._batch.append(decode(patch, self._bands, where=self._tarball.path.name))
        except DataError as error:
            self._bad.found.append(BadInput(patch.folder, str(error), patch.name.name))
        if len(self._batch) == _BATCH:
            self._write()
            if self.writer.tiles - self._saved >= _SAVE_EVERY:
                self.save()

    def _write(self) -> None:
        if not self._batch:
            return
        columns = self._rows.columns_of(self._batch)
        pixels = [to_stored(self._stack(group), self._scale) for group in self._groups]
        self.writer.append(columns, pixels)
        trains = self._rows.trains(columns)
        self._counted.add([values[trains] for values in pixels])
        self._others.add([values[~trains] for values in pixels])
        self._batch = []

    def _stack(self, group: BandGroup) -> Pixels:
        return np.stack([[patch.bands[band] for band in group.bands] for patch in self._batch])

    def _shown(self, began: float) -> dict[str, object]:
        """How far along in the compressed file, which is all that is known of its end."""
        share = self._tarball.share_read
        left = (time.monotonic() - began) * (1 - share) / max(share, 1e-9)
        return {"read": f"{share:.1%}", "left": duration(left)}


def _groups(files: PatchFiles, bands: tuple[str, ...]) -> tuple[BandGroup, ...]:
    """Bands of one size together, the finest first, in the order asked for."""
    sides = {band: files.side_px[files.bands.index(band)] for band in bands}
    return tuple(
        BandGroup(tuple(band for band in bands if sides[band] == side), side, files.dtype)
        for side in sorted(set(sides.values()), reverse=True)
    )
