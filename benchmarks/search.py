"""Exact search in 590,000 features of 384 numbers, 50 neighbours, beside faiss-cpu's exact indexes.

    python benchmarks/search.py [--faiss FOLDER]     # FOLDER: uv pip install --target FOLDER faiss-cpu

Vectors are random: an exact search takes the same time whatever they are. Best and median of 40 queries after
20 more, on 2 threads each. faiss has its exact index in float32 (IndexFlatIP) and in float16
(IndexScalarQuantizer).
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from swath.scores.knn import nearest, unit_rows

TILES, DIM, K, THREADS = 590_000, 384, 50, 2
UNCOUNTED, ROUNDS = 20, 40
Search = Callable[[], object]
_AT_ONCE = 50_000


def main() -> None:
    """Print milliseconds a query."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faiss", type=Path, help="folder that holds faiss-cpu")
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    draw = torch.Generator().manual_seed(0)
    keys = torch.empty(TILES, DIM, dtype=torch.float16)
    for start in range(0, TILES, _AT_ONCE):
        rows = torch.randn(min(_AT_ONCE, TILES - start), DIM, generator=draw)
        keys[start : start + _AT_ONCE] = unit_rows(rows.numpy())
    query = unit_rows(torch.randn(1, DIM, generator=draw).numpy())
    searches: dict[str, Search] = {"swath, float16": lambda: nearest(keys, query, k=K)}
    for words, count in (("half", TILES // 2), ("a tenth", TILES // 10)):  # as a filter leaves them, in order
        among = torch.randperm(TILES, generator=draw)[:count].sort().values
        searches[f"swath, among {words} of them"] = partial(nearest, keys, query, k=K, among=among)
    if given.faiss:
        searches |= of_faiss(given.faiss, keys, query.numpy())
    report(searches)


def of_faiss(folder: Path, keys: torch.Tensor, query: Any) -> dict[str, Search]:
    """Its two exact indexes, with the same vectors."""
    sys.path.append(str(folder))
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(THREADS)
    half = faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    indexes = {
        "faiss IndexFlatIP, float32": faiss.IndexFlatIP(DIM),
        "faiss IndexScalarQuantizer, float16": half,
    }
    for index in indexes.values():
        index.train(keys[:1000].float().numpy())
        for block in torch.split(keys, _AT_ONCE):
            index.add(block.float().numpy())
    return {name: partial(index.search, query, K) for name, index in indexes.items()}


def report(searches: dict[str, Search]) -> None:
    """Best and median of each; its first queries do not count."""
    for name, search in searches.items():
        times = []
        for _ in range(UNCOUNTED + ROUNDS):
            started = time.perf_counter()
            search()
            times.append(1000 * (time.perf_counter() - started))
        best, middle = min(times[UNCOUNTED:]), statistics.median(times[UNCOUNTED:])
        first = statistics.median(times[:UNCOUNTED])
        print(f"{name:36} {best:6.1f} ms best, {middle:6.1f} ms median, n {ROUNDS}; before {first:6.1f} ms")


if __name__ == "__main__":
    main()
