"""The index of an archive as it was published (.tar.gz, .tar.zst), in one pass and without extracting it."""

import logging
from collections.abc import Iterable, Iterator
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from swath.data.bad_inputs import BadInputs
from swath.data.tarball import Tarball
from swath.datasets.bigearthnet.archive import in_place
from swath.datasets.bigearthnet.catalogue import DEFAULT_ORDER
from swath.datasets.bigearthnet.known import Known
from swath.datasets.bigearthnet.patches import MORE, about, index_batches
from swath.datasets.bigearthnet.sensors import PatchFiles
from swath.datasets.bigearthnet.stream import ArchivedPatch, DecodedPatch, decode, patches
from swath.datasets.layout import Asked, Layout
from swath.errors import DataError
from swath.location import Location, absolute

logger = logging.getLogger(__name__)

_AT_ONCE = 4096


def first_patch(source: Location) -> ArchivedPatch:
    """What the archive holds is judged by the patch it begins with.

    Raises:
        DataError: it holds none.
    """
    with Tarball(source) as tarball:
        for patch in patches(tarball):
            return patch
    raise DataError(f"{source} holds no patch of BigEarthNet. Extract other archives, then: swath index DIR")


def find(source: Location, first: ArchivedPatch, known: Known | None, asked: Asked) -> Layout:
    """Every patch of an archive that begins with `first`, with what the authors' tables know of it.

    Raises:
        DataError: from the batches: the archive is cut or refused, or patches are bad.
    """
    version = first.name.version or ("v1" if first.has_labels else "v2")
    order = asked.class_order or DEFAULT_ORDER[version]
    files = first.files.only(tuple(band for band in first.files.bands if band in first.members))
    labelled = first.has_labels or (known is not None and "labels" in known.table.column_names)
    info = about(version, files, root=absolute(source), labelled=labelled, order=order)
    bad = BadInputs("patches", asked.bad_files)
    tables = _tables(source, files, known, bad)
    if asked.recommended:
        tables = (table.filter(pc.fill_null(table["recommended"], fill_value=False)) for table in tables)
    batches = (batch for table in tables for batch in index_batches(table, files, order=order))
    return Layout(info, 0, batches, bad, more=MORE)


def _tables(source: Location, files: PatchFiles, known: Known | None, bad: BadInputs) -> Iterator[pa.Table]:
    looked_at = 0
    with Tarball(source) as tarball:
        stream = patches(tarball)
        while some := list(islice(stream, _AT_ONCE)):
            looked_at += len(some)
            good = [(patch, found) for patch in some if (found := _decoded(patch, files, source, bad))]
            if good:
                yield _joined(in_place(source, _table(good, files), bad), known)
    bad.judge(looked_at=looked_at)


def _decoded(
    patch: ArchivedPatch, files: PatchFiles, source: Location, bad: BadInputs
) -> DecodedPatch | None:
    try:
        return decode(patch, files.bands, where=source.name)
    except DataError as error:
        bad.add(patch.folder, error)
        return None


def _table(good: Iterable[tuple[ArchivedPatch, DecodedPatch]], files: PatchFiles) -> pa.Table:
    rows = []
    for patch, found in good:
        name, told = patch.name, found.about
        stem = f"{patch.folder}/{name.name}"
        row = {
            "id": name.name,
            "day": name.acquired,
            "h": name.h,
            "v": name.v,
            "tile": name.tile or (told.tile if told else None),
            "paths": [f"{stem}_{band}.tif" for band in files.bands],
            "folder": patch.folder,
            "corner": [int(found.left), int(found.top), found.epsg],
        }
        if told:
            row |= {
                "labels": told.labels,
                "without_label": not told.labels,
                "labels_43": told.labels_43,
                "tile_source": told.source,
                "acquired_at": told.acquired_at,
                "bounds": list(told.bounds_m),
            }
        rows.append(row)
    texts = pa.list_(pa.string())
    kinds = {"h": pa.int32(), "v": pa.int32(), "day": pa.date32(), "paths": texts, "labels": texts}
    table = pa.Table.from_pylist(rows)
    for column, kind in kinds.items():
        if column in table.column_names:
            table = table.set_column(table.column_names.index(column), column, table[column].cast(kind))
    return table


def _joined(table: pa.Table, known: Known | None) -> pa.Table:
    """With the columns of the known table that the files do not say themselves."""
    if known is None:
        return table
    is_s1 = table["id"][0].as_py().startswith("S1")
    here = known.columns(known.rows_of(table["id"].combine_chunks(), key="s1_name" if is_s1 else "id"))
    for name in here.column_names:
        column = "s2_name" if is_s1 and name == "id" else name
        if column not in {*table.column_names, "s1_name" if is_s1 else "id"}:
            table = table.append_column(column, here[name])
    return table
