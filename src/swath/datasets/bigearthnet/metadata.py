"""metadata.parquet of v2 (reBEN): labels, official split, country and names of 480,038 patches."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from swath import storage
from swath.datasets.bigearthnet.labels import CLASSES_19
from swath.errors import DataError, did_you_mean
from swath.location import Location

_COLUMNS = (
    "patch_id", "labels", "split", "country", "s1_name", "s2v1_name", "contains_seasonal_snow",
    "contains_cloud_or_shadow",
)  # fmt: skip
_SPLITS = {"train": "train", "validation": "val", "test": "test"}


def read_metadata(path: Location) -> pa.Table:
    """A row for each patch of v2, by name.

    Columns: id, labels (of the 19), split (train, val, test), country, s1_name, s2v1_name.

    Raises:
        DataError: the file is missing, of another version, has unknown labels or splits, or holds patches
            with snow, cloud or shadow.
    """
    table = _read(path)
    unclean = pc.or_(table["contains_seasonal_snow"], table["contains_cloud_or_shadow"])
    bad = pc.sum(unclean).as_py() or 0
    if bad:
        raise DataError(
            f"{path} holds {bad:,} of {len(table):,} patches with snow, cloud or shadow, which are not "
            f"recommended and have a table of their own. Give metadata.parquet alone, as it was published."
        )
    _check_names(path, "label", pc.unique(pc.list_flatten(table["labels"])), CLASSES_19)
    _check_names(path, "split", pc.unique(table["split"]), tuple(_SPLITS))
    split = table["split"].combine_chunks()
    mapped = pc.case_when(
        pc.make_struct(*(pc.equal(split, name) for name in _SPLITS)), *map(pa.scalar, _SPLITS.values())
    )
    columns = {name: table[name] for name in ("labels", "country", "s1_name", "s2v1_name")}
    return pa.table({"id": table["patch_id"], **columns, "split": mapped}).sort_by("id")


def _read(path: Location) -> pa.Table:
    if not storage.is_file(path):
        raise DataError(
            f"no table at {path}. Give metadata.parquet of BigEarthNet v2: "
            f"swath download bigearthnet:v2 --only metadata --out DIR"
        )
    try:
        held = pa.py_buffer(storage.read_bytes(path))
        names = pq.read_schema(pa.BufferReader(held)).names
        missing = [name for name in _COLUMNS if name not in names]
        if missing:
            raise DataError(_another_version(path, missing, names))
        table = pq.read_table(pa.BufferReader(held), columns=list(_COLUMNS))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a whole Parquet file. Download it again.") from error
    if not len(table):
        raise DataError(f"{path} has 0 rows. Download it again.")
    for name in _COLUMNS:
        if table[name].null_count:
            raise DataError(
                f'{path}: column "{name}" has {table[name].null_count:,} empty rows. Download it again.'
            )
    if pc.count_distinct(table["patch_id"]).as_py() < len(table):
        raise DataError(f"{path} lists a patch twice. Download it again.")
    return table


def _another_version(path: Location, missing: list[str], names: list[str]) -> str:
    return (
        f"{path} is not the metadata.parquet of BigEarthNet v2.0: it has no column {', '.join(missing)}; "
        f"columns: {', '.join(names[:8])}. Download it again: "
        f"swath download bigearthnet:v2 --only metadata --out DIR"
    )


def _check_names(path: Location, what: str, found: pa.Array, known: tuple[str, ...]) -> None:
    for name in found.to_pylist():
        if name not in known:
            raise DataError(f'{path}: unknown {what} "{name}".{did_you_mean(str(name), known)}')
