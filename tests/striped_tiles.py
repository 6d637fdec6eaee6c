"""Tiles that are bright, striped or rough, and the shape of the network that looks at them."""

from datetime import date

import numpy as np
import pyarrow as pa
import shapely

from swath.data.bands import BandGroup, TileFormat
from swath.models.vit import ViTShape

SIZE_PX = 16
BANDS = ("B04", "B03", "B08", "B11")
VOCABULARY = ("bright", "striped", "rough", "never")
SHAPE = ViTShape(width=16, depth=2, heads=2, patch_size=4, in_channels=4, image_px=SIZE_PX)
FORMAT = TileFormat(
    bands=BANDS,
    groups=(BandGroup(("B04", "B03", "B08"), SIZE_PX, "uint16"), BandGroup(("B11",), SIZE_PX // 2, "uint16")),
    gsd_m=10.0,
    low=(0.0,) * 4,
    high=(4000.0,) * 4,
    mean=(0.4,) * 4,
    std=(0.2,) * 4,
)


def truths(count: int, rng: np.random.Generator) -> np.ndarray:
    labels = (rng.random((count, len(VOCABULARY))) < [0.5, 0.4, 0.3, 0.0]).astype(np.uint8)
    labels[0, :3] = 1
    return labels


def pixels_of(labels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Labels change the brightness, draw stripes, and add noise; plenty of noise makes it no easy task."""
    count, labels = len(labels), labels.astype(float)
    level = 1200 + 300 * labels[:, 0] + rng.normal(0, 250, count)
    stripes = np.where(np.arange(SIZE_PX) % 4 < 2, 1, -1) * 200.0
    noise = rng.normal(0, 1, (count, 4, SIZE_PX, SIZE_PX)) * (200 + 60 * labels[:, 2])[:, None, None, None]
    tiles = level[:, None, None, None] + labels[:, 1, None, None, None] * stripes + noise
    tiles = tiles.clip(0, 4000).astype(np.uint16)
    return [np.ascontiguousarray(tiles[:, :3]), np.ascontiguousarray(tiles[:, 3:, ::2, ::2])]


def columns_of(labels: np.ndarray, *, task: str, splits: list[str], blocks: bool) -> pa.Table:
    count = len(labels)
    names = [[VOCABULARY[k] for k in np.flatnonzero(row)] for row in labels]
    if task == "class":
        names = [["striped" if row[1] else "bright" if row[0] else "rough"] for row in labels]
    known: list[list[str] | None] = [None if i % 19 == 7 else found for i, found in enumerate(names)]
    return pa.table(
        {
            "id": [f"t{i:04d}" for i in range(count)],
            "split": pa.array(splits, pa.string()),
            "labels": pa.array(known, pa.list_(pa.string())),
            "block": pa.array([f"b{i // 6}" if blocks else None for i in range(count)], pa.string()),
            "acquired": pa.array([date(2020, 6, 1)] * count),
            "geometry": pa.array([shapely.box(i, 0, i + 1, 1).wkb for i in range(count)], pa.binary()),
        }
    )
