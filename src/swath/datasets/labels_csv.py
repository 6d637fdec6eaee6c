"""Tables of labels, labels.csv or Parquet: a row a tile, with one class column or a 0/1 column a label."""

import csv
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from swath.data.index import PATH_LEAVES_ROOT
from swath.datasets.layout import first_few
from swath.errors import DataError, UsageError, did_you_mean

logger = logging.getLogger(__name__)

TABLES = (".csv", ".tsv", ".txt", ".parquet")
_PATH_COLUMNS = (
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "image",
    "image_path",
    "name",
    "tile",
    "id",
)
_CLASS_COLUMNS = {"class", "label", "category", "class_name"}


@dataclass(frozen=True)
class CsvLabels:
    """Labels of each path (None where its row leaves them empty), and its split where there is a column."""

    task: str
    vocabulary: tuple[str, ...]
    labels: dict[str, tuple[str, ...] | None]
    splits: dict[str, str]


def read_labels(path: Path, *, label_column: str | None, label_columns: tuple[str, ...]) -> CsvLabels:
    """Read a table whole; of GeoParquet the geometry is passed over.

    Raises:
        UsageError: it holds a class column and 0/1 columns and nothing says which; a column is not there.
        DataError: no column of paths, a path twice or outside the folder, a value that is neither 0 nor 1.
    """
    if label_column and label_columns:
        raise UsageError("give --label-column (one class a tile) or --label-columns (0/1 columns), not both")
    table = _read(path)
    paths = _paths(path, table)
    splits = {}
    if "split" in table.column_names:
        pairs = zip(paths, table["split"].to_pylist(), strict=True)
        splits = {name: split for name, split in pairs if split is not None}
        logger.info(f"{path.name}: the column split is taken as the official split")
    chosen = _columns(path, table, label_column, label_columns)
    if isinstance(chosen, str):
        return _one_class(path, table, chosen, paths, splits)
    return _multilabel(path, table, chosen, paths, splits)


def _read(path: Path) -> pa.Table:
    table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    if len(set(table.column_names)) != len(table.column_names) or table.num_rows == 0:
        raise DataError(f"{path} has {table.num_rows} rows and the columns {', '.join(table.column_names)}.")
    return table


def _read_parquet(path: Path) -> pa.Table:
    """Columns of text, numbers and yes or no, as text; yes and no as 1 and 0."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a whole Parquet file ({' '.join(str(error).split())}).") from error
    columns = {}
    for field in table.schema:
        kind = field.type
        if pa.types.is_boolean(kind):
            columns[field.name] = table[field.name].cast(pa.int8()).cast(pa.string())
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind):
            columns[field.name] = table[field.name].cast(pa.string())
    return pa.table(columns)


def _read_csv(path: Path) -> pa.Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            line = stream.readline()
        delimiter = max(",;\t", key=line.count)
        header = next(csv.reader([line], delimiter=delimiter), [])
        options = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        return arrow_csv.read_csv(
            path, parse_options=arrow_csv.ParseOptions(delimiter=delimiter), convert_options=options
        )
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} is not a CSV file that can be read ({' '.join(str(error).split())})."
        ) from error


def _path_column(path: Path, names: list[str]) -> str:
    for known in _PATH_COLUMNS:
        for name in names:
            if name.lower() == known:
                return name
    raise DataError(
        f"{path} has no column of file names; columns: {', '.join(names)}. "
        f"Call it one of {', '.join(_PATH_COLUMNS)}."
    )


def _paths(path: Path, table: pa.Table) -> list[str]:
    """The files named, row by row; line numbers in messages count from 1 with the header."""
    raw = table[_path_column(path, table.column_names)].to_pylist()
    names = [(name or "").replace("\\", "/").removeprefix("./") for name in raw]
    seen: dict[str, int] = {}
    for line, name in enumerate(names, start=2):
        if not name:
            raise DataError(f"{path} line {line} names no file.")
        if re.search(PATH_LEAVES_ROOT, name):
            raise DataError(f"{path} line {line} leaves the data root: {name!r}. Use relative paths.")
        if name in seen:
            raise DataError(f'{path} lines {seen[name]} and {line} both name "{name}". Keep one.')
        seen[name] = line
    return names


def _columns(
    path: Path, table: pa.Table, label_column: str | None, label_columns: tuple[str, ...]
) -> str | list[str]:
    """The class column (a str) or the 0/1 columns (a list) that were asked for or are the only choice."""
    paths = _path_column(path, table.column_names)
    others = [name for name in table.column_names if name not in {"split", paths}]
    known = ", ".join(others) or "none"
    every_binary = label_columns == ("binary",)
    for name in [label_column] if label_column else [] if every_binary else label_columns:
        if name not in others:
            raise UsageError(f'{path} has no column "{name}"; columns: {known}.{did_you_mean(name, others)}')
    if label_column or (label_columns and not every_binary):
        return label_column or list(label_columns)
    binary = [name for name in others if _is_binary(table[name])]
    if every_binary and not binary:
        raise UsageError(f"{path} has no 0/1 columns; columns: {known}. Use --label-column NAME.")
    return binary if every_binary else _only_choice(path, table, others, binary)


def _only_choice(path: Path, table: pa.Table, others: list[str], binary: list[str]) -> str | list[str]:
    classes = [name for name in others if name not in binary and _is_class(name, table[name])]
    if binary and classes:
        raise UsageError(
            f"{path} has a class column ({', '.join(classes)}) and {len(binary)} 0/1 columns "
            f"({first_few(binary)}). Say which: --label-column {classes[0]} or --label-columns binary."
        )
    if len(classes) > 1 or not (classes or binary):
        known = ", ".join(others) or "none"
        raise UsageError(f"{path}: say which column holds the class: --label-column NAME. Columns: {known}.")
    logger.info(f"{path.name}: labels from {classes[0] if classes else f'{len(binary)} 0/1 columns'}")
    return classes[0] if classes else binary


def _is_binary(column: pa.ChunkedArray) -> bool:
    values = {value for value in pc.unique(column).to_pylist() if value is not None}
    return bool(values) and values <= {"0", "1"}


def _is_class(name: str, column: pa.ChunkedArray) -> bool:
    """A column of words, or one that is called class or label."""
    if name.lower() in _CLASS_COLUMNS:
        return True
    words = [
        value for value in pc.unique(column).to_pylist() if value and not re.fullmatch(r"[-+.\deE]+", value)
    ]
    return bool(words)


def _one_class(
    path: Path, table: pa.Table, column: str, paths: list[str], splits: dict[str, str]
) -> CsvLabels:
    values = table[column].to_pylist()
    for line, value in enumerate(values, start=2):
        if value is not None and value.startswith("["):
            raise DataError(
                f'{path} line {line}: "{value}" in column {column} is a list written as text. '
                f"Write one 0/1 column a label and use --label-columns binary."
            )
    vocabulary = tuple(sorted({value for value in values if value is not None}))
    if not vocabulary:
        raise DataError(f"{path}: column {column} is empty in all {len(values)} rows; a class is needed.")
    labels: dict[str, tuple[str, ...] | None] = {}
    for name, value in zip(paths, values, strict=True):
        labels[name] = None if value is None else (value,)
    return CsvLabels("class", vocabulary, labels, splits)


def _multilabel(
    path: Path, table: pa.Table, columns: list[str], paths: list[str], splits: dict[str, str]
) -> CsvLabels:
    labels: dict[str, tuple[str, ...] | None] = {}
    cells = zip(*(table[name].to_pylist() for name in columns), strict=True)
    for line, (name, row) in enumerate(zip(paths, cells, strict=True), start=2):
        if all(value is None for value in row):
            labels[name] = None
            continue
        odd = next((k for k, value in enumerate(row) if value not in {"0", "1"}), None)
        if odd is not None:
            raise DataError(
                f'{path} line {line}: column {columns[odd]} holds "{row[odd] or ""}"; 0 or 1 is needed.'
            )
        labels[name] = tuple(column for column, value in zip(columns, row, strict=True) if value == "1")
    return CsvLabels("multilabel", tuple(columns), labels, splits)
