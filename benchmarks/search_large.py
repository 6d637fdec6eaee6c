"""Approximate search among 5.9 million tiles: real features, repeated with noise, 50 neighbours.

    python benchmarks/search_large.py FEATURES --folder DIR [--tiles 5900000] [--noise 0.3]

FEATURES (of swath embed) are repeated in turn, each number with Gaussian noise of `--noise` times its
standard deviation over the file; queries are further such copies, which are not in the archive. The first
call makes the index and the true neighbours in DIR, which takes minutes; the next ones measure alone.
2 threads.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from swath.features.table import Rows, Values, feature_blocks
from swath.scores.knn import nearest, nearest_in, unit_rows
from swath.serve.search.cell_building import build_cells
from swath.serve.search.cells import UNIT, CellIndex

K, QUERIES, THREADS, BLOCK = 50, 200, 2, 65_536
_OTHERS = 10**9  # number of the first query: a copy of its own


def main() -> None:
    """Print recall and milliseconds a query, with and without a filter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tiles", type=int, default=5_900_000)
    parser.add_argument("--noise", type=float, default=0.3)
    asked = parser.parse_args()
    torch.set_num_threads(THREADS)
    real = np.concatenate(list(feature_blocks(asked.features)))
    describe(real, asked.noise)
    path = asked.folder / f"cells-{asked.tiles}-{asked.noise:g}"
    if not path.exists():
        started = time.perf_counter()
        blocks = (unit_rows(block) for block in copies(real, asked.tiles, noise=asked.noise))
        build_cells(path, blocks, tiles=asked.tiles, dim=real.shape[1])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"made in {time.perf_counter() - started:.0f} s, at most {peak:.1f} GiB of memory")
    size = sum(entry.stat().st_size for entry in path.iterdir()) / 1e9
    print(f"{asked.tiles:,} x {real.shape[1]}: {size:.2f} GB on the disk")
    index = CellIndex(path)
    for depth in index.depths:
        print(f"up to {depth.k - 1} neighbours: {depth.looked_at:,} tiles looked at, recall {depth.recall}")
    queries = next(copies(real, QUERIES, noise=asked.noise, start=_OTHERS))
    a_tenth = np.flatnonzero(np.random.default_rng(1).random(asked.tiles) < 0.1)
    for name, among in (("all tiles", None), ("a tenth of the tiles, drawn at random", a_tenth)):
        true = kept_truth(
            path.with_name(f"{path.name}-true-{name[:1]}{len(name)}.npy"), index, queries, among
        )
        measure(name, index, queries, true, among)


def copies(real: Values, count: int, *, noise: float, start: int = 0) -> Iterator[Values]:
    """(n, D) blocks of the copies number `start` and following."""
    spread = real.std(axis=0) * np.float32(noise)
    for first in range(start, start + count, BLOCK):
        numbers = np.arange(first, min(first + BLOCK, start + count))
        draw = np.random.default_rng((7, first)).standard_normal((len(numbers), real.shape[1]), np.float32)
        yield real[numbers % len(real)] + spread * draw


def describe(real: Values, noise: float) -> None:
    """How near real neighbours are, and copies of one tile: the noise should not make it easy."""
    unit, rows = unit_rows(real), slice(0, 1000)
    near, _ = nearest(unit, unit[rows], k=K + 1)
    pair = [unit_rows(next(copies(real, 1000, noise=noise, start=at * len(real)))) for at in (1, 2)]
    first, tenth, last = (near[:, place].median() for place in (1, 10, K))
    print(
        f"{len(real):,} real tiles: median cosine to the nearest {first:.3f}, 10th {tenth:.3f}, "
        f"{K}th {last:.3f}; between two copies of one tile {(pair[0] * pair[1]).sum(1).median():.3f}"
    )


def kept_truth(path: Path, index: CellIndex, queries: Values, among: Rows | None) -> Values:
    """(Q, K) similarities of the true neighbours: every vector of the index compared."""
    if not path.exists():
        shape = (len(index.rows), queries.shape[1])
        unit = np.memmap(
            path.parent / path.name.partition("-true")[0] / UNIT, np.float16, mode="c", shape=shape
        )
        places = slice(None) if among is None else np.flatnonzero(np.isin(index.rows, among))
        kept = unit if among is None else unit[places]
        blocks = (torch.from_numpy(kept[at : at + 4096]) for at in range(0, len(kept), 4096))
        np.save(path, nearest_in(blocks, unit_rows(queries), k=K)[0].numpy())
    true: Values = np.load(path)
    return true


def measure(name: str, index: CellIndex, queries: Values, true: Values, among: Rows | None) -> None:
    """One query after another."""
    depth = index.depth(K, among=among)
    found, times = [], []
    for query in queries:
        started = time.perf_counter()
        near = index.nearest(query[None], k=K, look_at=depth.looked_at, among=among)
        times.append(1000 * (time.perf_counter() - started))
        found.append(near.similarities[0])
    recall = (np.stack(found) >= true[:, -1:] - 1e-6).mean(axis=1)
    spread = np.quantile(times, [0.05, 0.95])
    print(
        f"{name}: recall@{K} {recall.mean():.4f} (least of a query {recall.min():.2f}), "
        f"{statistics.median(times):.1f} ms a query "
        f"(5th to 95th percentile {spread[0]:.1f} to {spread[1]:.1f}, n {len(times)})"
    )


if __name__ == "__main__":
    main()
