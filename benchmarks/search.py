"""Exact search in 590,000 features of 384 numbers, 50 neighbours, beside faiss-cpu's exact indexes.

    python benchmarks/search.py [--faiss FOLDER]     # FOLDER: uv pip install --target FOLDER faiss-cpu

Vectors are random: an exact search takes the same time whatever they are. Best and median of 7 queries, on 2
threads each. faiss has its exact index in float32 (IndexFlatIP) and in float16 (IndexScalarQuantizer).
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from swath.scores.knn import nearest, unit_rows

TILES, DIM, K, ROUNDS, THREADS = 590_000, 384, 50, 7, 2
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
    report("swath, float16", lambda: nearest(keys, query, k=K))
    if given.faiss:
        with_faiss(given.faiss, keys, query.numpy())


def with_faiss(folder: Path, keys: torch.Tensor, query: Any) -> None:
    """The two exact indexes of faiss, one after the other."""
    sys.path.append(str(folder))
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(THREADS)
    half = faiss.ScalarQuantizer.QT_fp16
    for name, make in {
        "faiss IndexFlatIP, float32": lambda: faiss.IndexFlatIP(DIM),
        "faiss IndexScalarQuantizer, float16": lambda: faiss.IndexScalarQuantizer(
            DIM, half, faiss.METRIC_INNER_PRODUCT
        ),
    }.items():
        index = make()
        index.train(keys[:1000].float().numpy())
        for block in torch.split(keys, _AT_ONCE):
            index.add(block.float().numpy())
        report(name, lambda index=index: index.search(query, K))  # type: ignore[misc]


def report(name: str, search: Callable[[], object]) -> None:
    """Best and median of some rounds, after one that does not count."""
    search()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        search()
        times.append(1000 * (time.perf_counter() - started))
    print(f"{name:36} {min(times):6.1f} ms best, {statistics.median(times):6.1f} ms median")


if __name__ == "__main__":
    main()
