"""Time and memory of `swath search --near-duplicates` on a large archive: real features, repeated with noise.

    python benchmarks/near_duplicates.py FEATURES [--tiles 1000000] [--threshold 0.999] [--noise 0.3]

FEATURES (of swath embed) are repeated in turn as benchmarks/search_large.py does; 1,000 of the tiles, spread
over the archive, are copies of others with noise of a thousandth of that, and must be found.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from search_large import BLOCK, copies

from swath.features.table import feature_blocks

PLANTED = 1000
COMMAND = "import sys; from swath.cli import main; sys.exit(main(sys.argv[1:]))"


def main() -> None:
    """Print seconds, the peak of memory, groups, and how many of the planted copies are in them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", type=Path)
    parser.add_argument("--tiles", type=int, default=1_000_000)
    parser.add_argument("--threshold", default="0.999")
    parser.add_argument("--noise", type=float, default=0.3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as held:
        path = Path(held) / "features.parquet"
        planted = write_archive(path, asked.features, asked.tiles, asked.noise)
        words = ["search", str(path), "--near-duplicates", "--threshold", asked.threshold, "--json"]
        started = time.perf_counter()
        said = subprocess.run([sys.executable, "-c", COMMAND, *words], stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - started
    result = json.loads(said.stdout.splitlines()[-1])
    group = {tile: number for number, one in enumerate(result["groups"]) for tile in one["tiles"]}
    found = sum(group.get(a, -1) == group.get(b, -2) for a, b in planted)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(
        f"{asked.tiles:,} tiles at {asked.threshold}: {seconds:.0f} s, {peak:.2f} GiB, "
        f"{len(result['groups']):,} groups, {result['pairs']:,} pairs, {found} of {PLANTED} planted"
    )


def write_archive(path: Path, features: Path, tiles: int, noise: float) -> list[tuple[str, str]]:
    """Write the archive, and say which tiles are nearly the same."""
    real = np.concatenate(list(feature_blocks(features)))
    values = np.concatenate(list(copies(real, tiles, noise=noise)))
    draw = np.random.default_rng(5)
    first, second = draw.permutation(tiles)[: 2 * PLANTED].reshape(2, -1)
    little = real.std(axis=0) * np.float32(noise / 1000)
    values[second] = values[first] + little * draw.standard_normal((PLANTED, real.shape[1]), np.float32)
    schema = pq.read_schema(features)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, tiles, BLOCK):
            writer.write_table(table(values[start : start + BLOCK], start, schema), row_group_size=8192)
    return [(f"tile{a}", f"tile{b}") for a, b in zip(first, second, strict=True)]


def table(values: np.ndarray, start: int, schema: pa.Schema) -> pa.Table:
    columns = {
        "id": pa.array([f"tile{start + number}" for number in range(len(values))]),
        "features": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1]),
    }
    return pa.table(
        [columns.get(field.name, pa.nulls(len(values), field.type)) for field in schema], schema=schema
    )


if __name__ == "__main__":
    main()
