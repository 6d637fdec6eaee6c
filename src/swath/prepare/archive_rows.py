"""What is known of the patches of an archive: from their files, and from an index or the official lists."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from swath.data.index import SCHEMA, Index
from swath.data.windows import footprints
from swath.datasets.bigearthnet.catalogue import DEFAULT_ORDER
from swath.datasets.bigearthnet.known import Known
from swath.datasets.bigearthnet.lists import read_lists
from swath.datasets.bigearthnet.names import PatchName
from swath.datasets.bigearthnet.patches import about
from swath.datasets.bigearthnet.sensors import GSD_M, TILE_PX
from swath.datasets.bigearthnet.stream import ArchivedPatch, DecodedPatch
from swath.errors import MachineError
from swath.prepare.tile_reader import COLUMNS

logger = logging.getLogger(__name__)

_PACKED = [name for name in SCHEMA.names if name not in COLUMNS or name == "id"]
_NOT_PACKED = {*COLUMNS, "mask_path"}


class ArchiveRows:
    """The columns of an index for the patches of an archive that begins with `first`.

    With an index, only patches that it lists are wanted. Without one, the official lists of v1 are used where
    they are installed.
    """

    def __init__(self, first: ArchivedPatch, index: Index | None) -> None:
        self._known = Known(index.table, "the index") if index else _official(first)
        names = self._known.table[_key(self._known, first)].to_pylist() if self._known else []
        self._row_of = {name: row for row, name in enumerate(names)}
        self.found = np.zeros(len(names), dtype=np.bool_)
        self._has_splits = self._known is not None and self._known.table["split"].null_count < len(names)
        self._must_be_whole = index is not None
        self._labels_in_files = first.has_labels and (index is None or index.info.task is None)
        self.listed_in = self._known.where if self._known else ""
        self.digest = index.digest if index else ""
        version = first.name.version or ("v1" if first.has_labels else "v2")
        order = DEFAULT_ORDER[version]
        published = about(version, first.files, root="", labelled=self._labels_in_files, order=order)
        self.info = published if index is None or self._labels_in_files else index.info

    def wants(self, name: PatchName) -> bool:
        return self._known is None or name.name in self._row_of

    def find(self, name: PatchName) -> None:
        """Note that the archive has the patch."""
        if self._known:
            self.found[self._row_of[name.name]] = True

    def missing(self) -> list[str]:
        """Patches of the index that the archive lacks; of the official lists it may hold a part."""
        if not self._must_be_whole:
            return []
        return [name for name, row in self._row_of.items() if not self.found[row]]

    def columns_of(self, patches: Sequence[DecodedPatch]) -> pa.Table:
        kinds = {field.name: field.type for field in SCHEMA if field.name in _PACKED}
        columns: dict[str, pa.Array] = {name: pa.nulls(len(patches), kind) for name, kind in kinds.items()}
        if self._known:
            taken = self._known.table.take([self._row_of[patch.name.name] for patch in patches])
            more = (name for name in taken.column_names if name not in _NOT_PACKED)
            columns |= {name: taken[name].combine_chunks() for name in more}
        columns |= {name: pa.array(values, kinds[name]) for name, values in _from_files(patches).items()}
        if self._labels_in_files:
            labels = [patch.about.labels if patch.about else None for patch in patches]
            columns["labels"] = pa.array(labels, kinds["labels"])
        return pa.table(columns)

    def trains(self, columns: pa.Table) -> npt.NDArray[np.bool_]:
        """(B,) which patches make the statistics: those of split train; all where no split is known."""
        if not self._has_splits:
            return np.ones(len(columns), dtype=np.bool_)
        return np.asarray([split == "train" for split in columns["split"].to_pylist()])


def _from_files(patches: Sequence[DecodedPatch]) -> dict[str, list[Any]]:
    return {
        "id": [patch.name.name for patch in patches],
        "sensor": [patch.name.sensor for patch in patches],
        "gsd_m": [GSD_M] * len(patches),
        "crs": [f"EPSG:{patch.epsg}" for patch in patches],
        "acquired": [patch.name.acquired for patch in patches],
        "geometry": list(_footprints(patches)),
    }


def _footprints(patches: Sequence[DecodedPatch]) -> npt.NDArray[np.object_]:
    """One call a UTM zone: corners in metres, with y turned so that rows count south."""
    polygons = np.empty(len(patches), object)
    epsg = np.asarray([patch.epsg for patch in patches])
    side_m = TILE_PX * GSD_M
    corners = np.asarray([(patch.left, -patch.top, side_m, side_m) for patch in patches])
    for zone in np.unique(epsg):
        here = epsg == zone
        polygons[here] = footprints(f"EPSG:{zone}", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), corners[here])
    return polygons


def _key(known: Known, first: ArchivedPatch) -> str:
    """The column with the names that the archive uses: tables of Sentinel-2 name their Sentinel-1 patches."""
    is_s1 = first.name.sensor == "Sentinel-1"
    return "s1_name" if is_s1 and not known.table["id"][0].as_py().startswith("S1") else "id"


def _official(first: ArchivedPatch) -> Known | None:
    """The recommended patches of v1 with their splits: the others would be trained on beside a test split."""
    if not first.has_labels:  # v2 has its splits in metadata.parquet
        return None
    try:
        lists = read_lists()
    except MachineError as error:
        logger.warning(f"packing without splits: {error}")
        return None
    return Known(lists.filter(lists["recommended"]), "the recommended set of v1")
