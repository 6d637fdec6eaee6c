"""tiles.parquet of a scene: GeoParquet, one row a tile, with what was said of it.

Columns: id (as `swath index` names tiles), x_px and y_px of its first pixel; with a head, labels and one
column `p_NAME` a class; without one, features (D,); geometry, WGS 84 longitude and latitude (WKB).
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from swath.data.windows import PixelGrid, footprints
from swath.files import file_aside
from swath.serve.bundle.description import Description, Task

SCHEMA_VERSION = 1
Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


class TileTable:
    """Gathers rows and writes them at the end: 8,500 of a Sentinel-2 scene."""

    def __init__(self, scene: str, about: Description, grid: PixelGrid) -> None:
        self._scene, self._about, self._grid = scene, about, grid
        self._boxes: list[tuple[int, int, int, int]] = []
        self._values: list[Floats] = []

    def __len__(self) -> int:
        return len(self._boxes)

    def add(self, box: tuple[int, int, int, int], values: Floats) -> None:
        """A tile at `box` (x, y, width, height) in pixels: probabilities (K,), or a feature (D,)."""
        self._boxes.append(box)
        self._values.append(values)

    def write(self, path: Path, *, digest: str) -> None:
        boxes = np.asarray(self._boxes, dtype=np.int64).reshape(-1, 4)
        order = np.lexsort((boxes[:, 0], boxes[:, 1]))
        boxes = boxes[order]
        width = len(self._about.head.class_names) if self._about.head else self._about.dim
        values = np.asarray(self._values, dtype=np.float32).reshape(-1, width)[order]
        columns: dict[str, Any] = {
            "id": [f"{self._scene}_x{x}_y{y}" for x, y, _, _ in boxes],
            "x_px": pa.array(boxes[:, 0], pa.int32()),
            "y_px": pa.array(boxes[:, 1], pa.int32()),
            **self._said(values),
            "geometry": self._geometry(boxes),
        }
        table = pa.table(columns)
        with file_aside(path) as aside:
            pq.write_table(table.replace_schema_metadata(self._metadata(digest)), aside, compression="zstd")

    def _said(self, values: Floats) -> dict[str, Any]:
        head = self._about.head
        if head is None:
            flat = pa.array(np.ascontiguousarray(values).ravel())
            return {"features": pa.FixedSizeListArray.from_arrays(flat, self._about.dim)}
        labels = labels_of(values, head.class_names, head.task)
        named = {f"p_{name}": pa.array(values[:, k]) for k, name in enumerate(head.class_names)}
        return {"labels": pa.array(labels, pa.list_(pa.string())), **named}

    def _geometry(self, boxes: Places) -> pa.Array:
        if self._grid.crs is None:
            return pa.nulls(len(boxes), pa.binary())
        return pa.array(
            footprints(self._grid.crs, self._grid.transform, boxes.astype(np.float64)), pa.binary()
        )

    def _metadata(self, digest: str) -> dict[str, str]:
        geometry = {"encoding": "WKB", "geometry_types": ["Polygon"]}
        geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
        head = self._about.head
        said = {"schema_version": SCHEMA_VERSION, "bundle": digest, "head": asdict(head) if head else None}
        return {"geo": json.dumps(geo), "swath": json.dumps(said)}


def labels_of(probabilities: Floats, names: tuple[str, ...], task: Task) -> list[list[str]]:
    """The likeliest class of each row, or of several all above 0.5."""
    if task == "multilabel":
        return [[names[k] for k in np.flatnonzero(row > 0.5)] for row in probabilities]
    return [[names[int(row.argmax())]] for row in probabilities]
