"""Where tiles stand in the two plots and to which cluster they belong: computed once, kept beside the run."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.cluster import MiniBatchKMeans

from swath.features.table import Origin
from swath.files import file_aside
from swath.serve.explore.neighbour_plot import Plot, neighbour_plot

VERSION = 1
CLUSTERS = 12
_AXES = 50  # of the principal axes that clusters and neighbours are looked for on
_KEY = b"swath_arrangement"
_NAMES = ("pca_x", "pca_y", "near_x", "near_y", "cluster")

log = logging.getLogger(__name__)
Features = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Arrangement:
    """`pca` and `near` (N, 2) float32: principal components, and neighbours kept near. `cluster` (N,) is 0
    for the largest.
    """

    pca: Plot
    near: Plot
    cluster: npt.NDArray[np.uint8]


def kept_arrangement(path: Path, features: Features, origin: Origin) -> Arrangement:
    """That of unit rows (N, D), from the file at `path`, which is made where it is of anything else."""
    mark = json.dumps({"version": VERSION, "origin": asdict(origin)}, sort_keys=True).encode()
    found = _read(path, mark)
    if found is not None:
        return found
    log.info(f"arranging {len(features):,} tiles by their features, once; kept in {path}")
    made = arrange(features)
    _write(path, made, mark)
    return made


def arrange(features: Features) -> Arrangement:
    """Compute all of it from unit rows (N, D); the same features give the same arrangement."""
    axes = principal(features, _AXES)
    lengths = np.linalg.norm(axes, axis=1, keepdims=True)
    unit = np.asarray(axes / np.where(lengths > 0, lengths, 1), dtype=np.float32)
    pca = np.zeros((len(axes), 2), dtype=np.float32)
    pca[:, : axes.shape[1]] = axes[:, :2]
    return Arrangement(pca=pca, near=neighbour_plot(unit, pca), cluster=_clusters(axes))


def principal(features: Features, count: int) -> Features:
    """(N, count) coordinates on the principal axes, the widest first; each axis points to its largest
    weight.
    """
    centred = features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    _, axes = np.linalg.eigh(np.asarray(centred.T @ centred, dtype=np.float64))
    axes = axes[:, ::-1][:, :count]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.asarray(centred @ (axes * signs).astype(np.float32), dtype=np.float32)


def _clusters(axes: Features) -> npt.NDArray[np.uint8]:
    """k-means, numbered by size."""
    count = min(CLUSTERS, len(np.unique(axes[:2000], axis=0)))
    found = MiniBatchKMeans(count, random_state=0, n_init=3, batch_size=4096).fit_predict(axes)
    by_size = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    rank = np.empty(count, dtype=np.uint8)
    rank[by_size] = np.arange(count)
    return np.asarray(rank[found])


def _read(path: Path, mark: bytes) -> Arrangement | None:
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError):
        log.info(f"{path} cannot be read; it is made again")
        return None
    if (table.schema.metadata or {}).get(_KEY) != mark:
        log.info(f"{path} is of other features; it is made again")
        return None
    columns = [table[name].to_numpy() for name in _NAMES]
    return Arrangement(np.stack(columns[:2], axis=1), np.stack(columns[2:4], axis=1), columns[4])


def _write(path: Path, made: Arrangement, mark: bytes) -> None:
    columns = [*made.pca.T, *made.near.T, made.cluster]
    table = pa.table(dict(zip(_NAMES, map(pa.array, columns), strict=True)))
    with file_aside(path) as aside:
        pq.write_table(table.replace_schema_metadata({_KEY: mark}), aside)
