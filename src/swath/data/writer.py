"""Writing packed tiles (see `store`): batch by batch aside, then one commit that says what they are."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from types import TracebackType
from typing import Any, Self

import lance
import pyarrow as pa
from lance.fragment import FragmentMetadata

from swath import storage
from swath.data.bands import BandGroup, TileFormat
from swath.data.claim import Claim
from swath.data.fragment import Checksums, FragmentWriter, Written, remove_orphans
from swath.data.store import METADATA_KEY, SCHEMA_VERSION, Pixels
from swath.errors import DataError, MachineError, SwathError
from swath.files import check_is_free, folder_aside
from swath.location import Location, S3Path


class TileWriter:
    """Writes a pack aside; it becomes `path` when the `with` block ends after `finish`, else it vanishes.

    On S3, where nothing can be renamed, it is written in place and is no dataset before its one commit.

    `info` is kept as it is and comes back as TileStore.info: layout, attribution, anything JSON can say.

    Raises:
        UsageError: `path` exists already.
        MachineError: the disk is full or cannot be written.
    """

    def __init__(
        self,
        path: Location,
        *,
        groups: tuple[BandGroup, ...],
        info: dict[str, Any],
    ) -> None:
        self._path = path
        self._claim = Claim(path)  # of the prefix on S3; here folders have locks
        self._groups = groups
        self._info = info
        self._schema: pa.Schema | None = None
        self._fragments: list[Any] = []
        self._chain = b""  # a hash over all tiles so far that can be saved and gone on with
        self._finished = False
        self.tiles = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._aside = stack.enter_context(self._place())
            self._fragment = stack.enter_context(FragmentWriter(self._aside, self._groups))
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert error is not None or self._finished, "TileWriter was left without finish()"
        self._exit.__exit__(kind, error, trace)

    @property
    def folder(self) -> Location:
        """Where fragments are written to, until the end."""
        return self._aside

    def append(self, columns: pa.Table, pixels: list[Pixels], masks: Pixels | None = None) -> None:
        """Add tiles: their columns of the index, an array (B, Cg, h, w) a group, and masks (B, H, H)."""
        self._chain_up(self._fragment.append(columns, pixels, masks))
        self._schema = self._fragment.schema

    def adopt(self, written: Written) -> None:
        """Add tiles that other processes wrote below `folder`.

        Raises:
            MachineError: their files are not there.
        """
        for name in written.files():
            if not storage.is_file(self.folder / "data" / name):
                raise MachineError(
                    f"{self.folder} lacks {name}, which a worker wrote: it has another disk. Take an --out "
                    "that all machines share, or one on s3://."
                )
        self._fragments += [FragmentMetadata.from_json(text) for text in written.fragments]
        self._schema = written.schema
        for checksums in written.checksums:
            self._chain_up(checksums)

    def finish(
        self,
        tile_format: TileFormat,
        *,
        vocabulary: tuple[str, ...],
        task: str | None,
        mask_vocabulary: tuple[str, ...] = (),
        index_digest: str = "",
        statistics: Mapping[str, Mapping[str, float]] | None = None,
    ) -> str:
        """Commit the pack, with what it says about itself, and return its digest.

        Raises:
            DataError: there are no tiles.
        """
        self._end_fragment()
        if self._schema is None:
            raise DataError(f"no tiles to write to {self._path}")
        digest = hashlib.sha256(self._chain + ",".join(tile_format.bands).encode()).hexdigest()
        metadata = {
            "schema_version": SCHEMA_VERSION,
            "complete": True,
            "tiles": self.tiles,
            "tile_format": tile_format.to_json(),
            "vocabulary": vocabulary,
            "task": task,
            "mask_vocabulary": mask_vocabulary,
            "index_digest": index_digest,
            "statistics": statistics or {},
            "digest": digest,
            "info": self._info,
        }
        schema = self._schema.with_metadata({METADATA_KEY: json.dumps(metadata, allow_nan=False)})
        self._claim.check()
        remove_orphans(self._aside, self._fragments)
        lance.LanceDataset.commit(
            str(self._aside),
            lance.LanceOperation.Overwrite(schema, self._fragments),
            storage_options=storage.lance_options(self._aside),
        )
        self._finished = True
        return digest

    def _place(self) -> AbstractContextManager[Location]:
        return self._in_place(self._path) if isinstance(self._path, S3Path) else folder_aside(self._path)

    @contextlib.contextmanager
    def _in_place(self, path: S3Path) -> Iterator[Location]:
        """Fill a free prefix, and end it with the one commit; on any error all of it is removed."""
        check_is_free(path)
        with self._claim.held():
            try:
                with storage.s3_errors(path):
                    yield path
            except BaseException:
                with suppress(SwathError):
                    if self._claim.holds:
                        storage.remove(path)
                raise

    def _end_fragment(self) -> None:
        self._fragments += self._fragment.end()

    def _chain_up(self, checksums: Checksums) -> None:
        for number, tile_id in enumerate(checksums.ids):
            line = f"{tile_id}\0{checksums.pixels[number]}\n".encode()
            line += b"" if checksums.masks is None else checksums.masks[number].tobytes()
            self._chain = hashlib.sha256(self._chain + line).digest()
        self.tiles += len(checksums.ids)
