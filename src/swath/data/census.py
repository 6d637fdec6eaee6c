"""A census of tiles: how many in each split, with each label, with two labels, of each country or season."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from swath.data.index import SCHEMA
from swath.data.labels import multi_hot

NO_SPLIT = "none"
NOT_SAID = "not said"
_ORDER = ("train", "val", "test", "gap")
_MOST_VALUES = 64  # a column with more, such as names of files, tells tiles apart and does not group them
_AT_ONCE = 1 << 16

Counts = dict[str, int]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Census:
    """`splits`: tiles of each split, "none" where a tile has none. `labels`: of each class, tiles by split.
    `together`: of each class, tiles that also have another one. `columns`: of each column beyond the schema
    that groups tiles, its values with their tiles by split. `empty`: labelled, with none of the classes.
    """

    tiles: int
    splits: Counts
    labelled: int
    empty: int
    labels: dict[str, Counts]
    together: dict[str, Counts]
    columns: dict[str, dict[str, Counts]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def take_census(tiles: pa.Table, vocabulary: tuple[str, ...]) -> Census:
    """Count a table with the columns `split` and `labels`, and with whatever else it knows of its tiles."""
    split = pc.fill_null(tiles["split"], NO_SPLIT)
    splits = _counts(split)
    lengths = pc.list_value_length(tiles["labels"])
    labels, together = _labels(tiles["labels"], split, vocabulary, tuple(splits))
    return Census(
        tiles=len(tiles),
        splits=splits,
        labelled=len(lengths) - lengths.null_count,
        empty=int(pc.sum(pc.equal(lengths, 0)).as_py() or 0),
        labels=labels,
        together=together,
        columns={name: _by_split(tiles[name], split) for name in grouping_columns(tiles)},
    )


def may_group(schema: pa.Schema) -> list[str]:
    """Columns beyond those of every index whose type is that of a word or of yes and no."""
    return [
        field.name
        for field in schema
        if field.name not in SCHEMA.names
        and (pa.types.is_string(field.type) or pa.types.is_boolean(field.type))
    ]


def grouping_columns(tiles: pa.Table) -> list[str]:
    """Those that may group, with more than one value and not very many."""
    return [
        name
        for name in may_group(tiles.schema)
        if 1 < pc.count_distinct(tiles[name], mode="all").as_py() <= _MOST_VALUES
    ]


def _counts(values: pa.ChunkedArray) -> Counts:
    found = {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}
    return {name: found[name] for name in ordered(found)}


def ordered(splits: Iterable[str]) -> list[str]:
    """Train, val, test, gap; then what else there is by name, and tiles without a split last."""
    place = {name: number for number, name in enumerate(_ORDER)}
    return sorted(splits, key=lambda name: (name == NO_SPLIT, place.get(name, len(_ORDER)), name))


def _labels(
    labels: pa.ChunkedArray, split: pa.ChunkedArray, vocabulary: tuple[str, ...], splits: tuple[str, ...]
) -> tuple[dict[str, Counts], dict[str, Counts]]:
    """In parts, so that millions of tiles with many classes need little memory."""
    places = pc.index_in(split, value_set=pa.array(splits, pa.string())).to_numpy()
    of_split = np.zeros((len(splits), len(vocabulary)), dtype=np.int64)
    pairs = np.zeros((len(vocabulary), len(vocabulary)), dtype=np.int64)
    for start in range(0, len(labels), _AT_ONCE):
        hot = multi_hot(labels.slice(start, _AT_ONCE), vocabulary).astype(np.float64)
        part = places[start : start + _AT_ONCE]
        for row in range(len(splits)):
            of_split[row] += hot[part == row].sum(axis=0).astype(np.int64)
        pairs += (hot.T @ hot).astype(np.int64)
    counted = {
        name: dict(zip(splits, of_split[:, k].tolist(), strict=True)) for k, name in enumerate(vocabulary)
    }
    together = {
        name: {other: int(pairs[k, j]) for j, other in enumerate(vocabulary) if j != k and pairs[k, j]}
        for k, name in enumerate(vocabulary)
    }
    return counted, together


def _by_split(column: pa.ChunkedArray, split: pa.ChunkedArray) -> dict[str, Counts]:
    words = pc.if_else(column, "yes", "no") if pa.types.is_boolean(column.type) else column
    table = pa.table({"value": pc.fill_null(words, NOT_SAID), "split": split})
    found: dict[str, Counts] = {}
    for row in table.group_by(["value", "split"]).aggregate([([], "count_all")]).sort_by("value").to_pylist():
        found.setdefault(row["value"], {})[row["split"]] = row["count_all"]
    return {value: {name: counts[name] for name in ordered(counts)} for value, counts in found.items()}
