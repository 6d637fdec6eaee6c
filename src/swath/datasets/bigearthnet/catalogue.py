"""bigearthnet:v1 and bigearthnet:v2: the whole data set as an index, before a pixel is downloaded."""

import pyarrow as pa
import pyarrow.compute as pc

from swath.data.bad_inputs import BadInputs
from swath.datasets.bigearthnet.lists import read_lists
from swath.datasets.bigearthnet.metadata import read_metadata
from swath.datasets.bigearthnet.names import S1, S2_V1, S2_V2, parse_column
from swath.datasets.bigearthnet.patches import MORE, about, index_batches
from swath.datasets.bigearthnet.sensors import SENTINEL2
from swath.datasets.layout import Asked, Layout
from swath.errors import DataError, UsageError, did_you_mean
from swath.location import Location

PREFIX = "bigearthnet:"
DEFAULT_ORDER = {"v1": "original", "v2": "alphabetical"}  # as each was published


def version_of(source: str) -> str | None:
    """v1 or v2 where the source is bigearthnet:v1 or bigearthnet:v2, None for a path.

    Raises:
        UsageError: there is no such version.
    """
    if not source.startswith(PREFIX):
        return None
    version = source.removeprefix(PREFIX)
    if version not in DEFAULT_ORDER:
        known = [PREFIX + name for name in DEFAULT_ORDER]
        raise UsageError(f"no data set {source}; known: {', '.join(known)}.{did_you_mean(source, known)}")
    return version


def patches_of(version: str, asked: Asked) -> pa.Table:
    """Every patch of v1 (590,326; the recommended 519,284 if asked) or v2 (480,038), with its place.

    Raises:
        UsageError: v2 without --metadata, or a setting that changes nothing.
        MachineError: v1 without the package that holds its lists.
        DataError: the table is not that of the version.
    """
    return _v1(asked) if version == "v1" else _v2(asked)


def without_pixels(version: str, patches: pa.Table, asked: Asked) -> Layout:
    """The layout of `patches` (id, tile, day, h, v and what else is known) before a pixel is there."""
    order = asked.class_order or DEFAULT_ORDER[version]
    labelled = "labels" in patches.column_names
    if asked.class_order and not labelled:
        raise UsageError("--class-order would change nothing: the lists of v1 hold no labels. Leave it out.")
    info = about(version, SENTINEL2, root="", labelled=labelled, order=order)
    batches = index_batches(patches, SENTINEL2, order=order)
    return Layout(info, 0, batches, BadInputs("patches", asked.bad_files), more=MORE)


def _v1(asked: Asked) -> pa.Table:
    if asked.metadata is not None:
        raise UsageError("--metadata is the table of v2; bigearthnet:v1 brings its own lists. Leave it out.")
    patches = placed_v1(read_lists())
    return patches.filter(patches["recommended"]) if asked.recommended else patches


def _v2(asked: Asked) -> pa.Table:
    if asked.metadata is None:
        raise UsageError(
            "bigearthnet:v2 needs the table of its patches: --metadata metadata.parquet "
            "(swath download bigearthnet:v2 --only metadata --out DIR)"
        )
    if asked.recommended:
        raise UsageError("--recommended would change nothing: metadata.parquet of v2 lists no other patches.")
    return placed_v2(read_metadata(asked.metadata), asked.metadata)


def placed_v1(lists: pa.Table) -> pa.Table:
    """`lists` with the columns tile, day, h and v; the tile is that of the Sentinel-1 patch of the same cell.

    Raises:
        DataError: a name is none.
    """
    where = "the lists of bigearthnet-common"
    twins = parse_column(lists["s1_name"].combine_chunks(), S1)
    _check_parsed(lists["s1_name"], twins["day"], where)
    return placed(lists, S2_V1, where).append_column("tile", twins["tile"])


def placed_v2(metadata: pa.Table, path: Location) -> pa.Table:
    """`metadata` with the columns tile, day, h and v, and the flags of a clean patch.

    Raises:
        DataError: a name is none of v2.
    """
    return placed(flagged_v2(metadata), S2_V2, str(path))


def placed(table: pa.Table, pattern: str, where: str) -> pa.Table:
    """`table` with what its names (column id) say: day, h, v, and the tile if the pattern has it.

    Raises:
        DataError: a name does not match; `where` begins the message.
    """
    named = parse_column(table["id"].combine_chunks(), pattern)
    _check_parsed(table["id"], named["day"], where)
    for name in named.column_names:
        table = table.append_column(name, named[name])
    return table


def flagged_v2(metadata: pa.Table) -> pa.Table:
    """`metadata` with the flags that all its patches share, as no other may be in it."""
    flags = {"seasonal_snow": False, "cloud_or_shadow": False, "without_label": False, "recommended": True}
    for name, value in flags.items():
        metadata = metadata.append_column(name, pa.repeat(value, len(metadata)))
    return metadata


def _check_parsed(names: pa.ChunkedArray, days: pa.ChunkedArray, where: str) -> None:
    if days.null_count:
        row = pc.index(pc.is_null(days), value=True).as_py()
        raise DataError(
            f'{where}: "{names[row].as_py()}" is no name of a patch ({days.null_count:,} of {len(names):,} '
            "are not). Is it the table of another version?"
        )
