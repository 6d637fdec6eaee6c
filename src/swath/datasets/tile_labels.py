"""Labels by tile id, for layouts in which a tile is not simply a file: scenes, BigEarthNet."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from swath.datasets.labels_csv import CsvLabels
from swath.datasets.layout import Layout, first_few
from swath.errors import DataError


def with_tile_labels(layout: Layout, table: Path, read: CsvLabels) -> Layout:
    """The same tiles with the labels (and splits) of the table; tiles without a row are unlabelled.

    Raises:
        DataError: once all tiles were seen, a row of the table is of none of them.
    """
    info = replace(layout.info, task=read.task, vocabulary=read.vocabulary)
    return replace(layout, info=info, batches=_labelled(layout.batches, table, read))


def _labelled(batches: Iterator[pa.RecordBatch], table: Path, read: CsvLabels) -> Iterator[pa.RecordBatch]:
    missing = set(read.labels)
    for batch in batches:
        ids = batch["id"].to_pylist()
        missing.difference_update(ids)
        labels = pa.array([read.labels.get(name) for name in ids], pa.list_(pa.string()))
        splits = pc.coalesce(pa.array([read.splits.get(name) for name in ids], pa.string()), batch["split"])
        changed = {
            "labels": labels,
            "split": splits,
            "label_shares": pa.nulls(len(ids), batch["label_shares"].type),
        }
        arrays = [changed.get(field.name, batch[field.name]) for field in batch.schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=batch.schema)
    if missing:
        raise DataError(
            f"{table} names {len(missing):,} tiles of {len(read.labels):,} that are not there: "
            f"{first_few(sorted(missing))}. Cut scenes with the --tile-px and --stride-px of the index "
            "that the ids are of, or take out the rows."
        )
