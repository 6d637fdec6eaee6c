"""Why v1 and v2 never go together: half of the test patches of v2 are training patches of v1."""

import pyarrow as pa
import pyarrow.compute as pc

from swath.datasets.bigearthnet.folders import Found
from swath.datasets.bigearthnet.lists import read_lists
from swath.datasets.bigearthnet.metadata import read_metadata
from swath.errors import DataError, MachineError
from swath.location import Location

# Of all of v2, counted from the lists of v1 and metadata.parquet.
_ALL = "60,886 of the 119,825 test patches of v2 are training patches of v1"
_THEN = "Index v1 or v2 alone, and never score weights trained on v1 by the test split of v2."


def mixed_folders(source: Location, found: Found, table: Location | None) -> DataError:
    """The refusal of a folder that holds patches of both versions."""
    counts = " and ".join(f"{len(found.patches[kind]):,} patches of {kind}" for kind in ("v1", "v2"))
    names = [folder.rpartition("/")[2] for folder in found.patches["v2"]]
    return DataError(f"{source} holds {counts}: {_count(table, pa.array(names))}. {_THEN}")


def mixed_tables(source: Location, table: Location) -> DataError:
    """The refusal of patches of v1 with the table of v2."""
    return DataError(
        f"{source} holds patches of v1, and {table} is the table of v2: {_count(table, None)}. {_THEN}"
    )


def _count(table: Location | None, names: pa.Array | None) -> str:
    """Of the v2 patches `names` (all of the table where None), how many test what v1 trains on."""
    if table is None:
        return _ALL
    try:
        lists = read_lists()
    except MachineError:
        return _ALL
    metadata = read_metadata(table)
    if names is not None:
        metadata = metadata.filter(pc.is_in(metadata["id"], value_set=names))
    tests = metadata.filter(pc.equal(metadata["split"], "test"))
    train = lists["id"].filter(pc.fill_null(pc.equal(lists["split"], "train"), fill_value=False))
    both = pc.sum(pc.is_in(tests["s2v1_name"], value_set=train.combine_chunks())).as_py() or 0
    return f"{both:,} of the {len(tests):,} test patches of v2 are training patches of v1"
