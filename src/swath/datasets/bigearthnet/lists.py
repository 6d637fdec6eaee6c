"""The official lists of v1, from the data files of the installed package bigearthnet-common.

The package is never imported: it fails to import beside any current fastcore, and only its files are needed.
"""

import bz2
import importlib.metadata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from swath.errors import DataError, MachineError

_PACKAGE = "bigearthnet-common"
_PATCHES = "s1_s2_name_country_season"
_SNOW, _CLOUD = "patches_with_seasonal_snow", "patches_with_cloud_and_shadow"
_WITHOUT_LABEL = "patches_with_no_19_class_targets"
_SPLITS = ("train", "val", "test")


def read_lists() -> pa.Table:
    """A row for each of the 590,326 patches of v1, by name.

    Columns: id, s1_name, country, season, split (null for patches that are not recommended), seasonal_snow,
    cloud_or_shadow, without_label (none of the 19 classes), recommended.

    Raises:
        MachineError: the package is not installed.
        DataError: it does not hold the lists.
    """
    wanted = (_PATCHES, _SNOW, _CLOUD, _WITHOUT_LABEL, *_SPLITS)
    files = [data_file(f"{name}.csv.bz2") for name in wanted]
    with ThreadPoolExecutor(2, thread_name_prefix="swath-unpack") as pool:  # bz2 works outside Python's lock
        lists = dict(zip(wanted, pool.map(bz2.decompress, files), strict=True))
    patches = _with_header(lists.pop(_PATCHES)).sort_by("s2_name")
    columns = {name: _names(text) for name, text in lists.items()}
    ids = patches["s2_name"]
    flags = {name: pc.is_in(ids, value_set=columns[name]) for name in columns}
    excluded = pc.or_(pc.or_(flags[_SNOW], flags[_CLOUD]), flags[_WITHOUT_LABEL])
    split = pc.case_when(pc.make_struct(*(flags[name] for name in _SPLITS)), *_SPLITS)
    return pa.table(
        {
            "id": ids,
            "s1_name": patches["s1_name"],
            "country": patches["country"],
            "season": patches["season"],
            "split": split,
            "seasonal_snow": flags[_SNOW],
            "cloud_or_shadow": flags[_CLOUD],
            "without_label": flags[_WITHOUT_LABEL],
            "recommended": pc.invert(excluded),
        }
    )


def data_file(name: str) -> bytes:
    """The bytes of a file that lies in the package.

    Raises:
        MachineError: the package is not installed.
        DataError: it has no such file.
    """
    try:
        package = importlib.metadata.distribution(_PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise MachineError(
            f"the lists of BigEarthNet v1 are in the package {_PACKAGE}, which is not installed. "
            'Type: pip install "swath[bigearthnet]"'
        ) from error
    try:
        return Path(str(package.locate_file(f"bigearthnet_common/{name}"))).read_bytes()
    except OSError as error:
        raise DataError(
            f"the package {_PACKAGE} {package.version} holds no {name}; expected version 2.8.0. "
            'Type: pip install "swath[bigearthnet]"'
        ) from error


def _with_header(text: bytes) -> pa.Table:
    table = pyarrow.csv.read_csv(pa.py_buffer(text))
    expected = ["s1_name", "s2_name", "country", "season"]
    if table.column_names != expected:
        raise DataError(f"{_PATCHES}.csv.bz2 has columns {table.column_names}; expected {expected}.")
    return table.combine_chunks()


def _names(text: bytes) -> pa.Array:
    options = pyarrow.csv.ReadOptions(column_names=["name"])
    return pyarrow.csv.read_csv(pa.py_buffer(text), read_options=options)["name"].combine_chunks()
