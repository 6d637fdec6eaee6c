"""Tiles from S3 and jobs: rates and requests on a real S3 server of loopback, and what sending costs.

    python benchmarks/cloud.py [--tiles 8192] [--rounds 5] [--only reading training sending]

Reading: packed tiles of 3x120x120 in 8 bits (43 kB) through the loader in batches of 64, blocks and shuffled,
from SeaweedFS on the same cores, whose files are dropped from the system's cache before each round. A proxy
counts requests of two epochs more, untimed, also those of one of 8 ranks with a batch of 512. Training:
steps of ViT-Ti/16 on tiles from there and from the local disk, in turn. Sending: `swath sagemaker` with
--help and with --dry-run, processes from start to end.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the S3 servers that the tests start
import flaky_s3
import s3_server

import swath
from swath import storage
from swath.data.loader import Loader
from swath.data.sampler import Order
from swath.data.store import TileStore
from swath.location import S3Path

SIDE, BATCH, STEPS = 120, 64, 60
ON_S3 = S3Path("bucket", "tiles.lance")
JOB = (
    "--role",
    "arn:aws:iam::123456789012:role/swath",
    "--store",
    "s3://bucket/jobs",
    "--region",
    "us-east-1",
)
SENT = {
    "swath sagemaker --help": ("--help",),
    "dry run": ("pretrain", "s3://bucket/tiles.lance", *JOB, "--dry-run"),
}


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--tiles", type=int, default=8192)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--only", nargs="*", default=["reading", "training", "sending"])
    asked = arguments.parse_args()
    if "sending" in asked.only:
        sending(asked.rounds)
    if {"reading", "training"} & set(asked.only):
        with tempfile.TemporaryDirectory() as name, served(Path(name), asked.tiles) as (tiles, weed):
            if "reading" in asked.only:
                reading(weed, asked.rounds)
            if "training" in asked.only:
                training(tiles, Path(name), asked.rounds)


def show(what: str, values: list[float], unit: str) -> None:
    low, high = min(values), max(values)
    print(
        f"{what:44} {statistics.median(values):10,.3f} {unit}  ({low:,.3f} to {high:,.3f}, n {len(values)})"
    )


@contextlib.contextmanager
def served(folder: Path, count: int) -> Iterator[tuple[Path, Path]]:
    """A pack of noise, here and on a server; its path, and the server's folder."""
    side = int(np.ceil(count**0.5)) * SIDE
    image = np.random.default_rng(0).integers(0, 256, (3, side, side), dtype=np.uint8)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8"}
    with rasterio.open(folder / "noise.tif", "w", **profile, crs="EPSG:32633") as target:
        target.write(image)
    swath.index(folder / "noise.tif", out=folder / "index.parquet", layout="scenes", tile_px=SIDE)
    swath.pack(folder / "index.parquet", out=folder / "tiles.lance")
    weed = folder / "weed"
    weed.mkdir()
    with s3_server.seaweedfs(weed) as url:
        os.environ |= {**s3_server.KEYS, "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1"}
        for file in (folder / "tiles.lance").rglob("*"):
            if file.is_file():
                inside = file.relative_to(folder / "tiles.lance").as_posix()
                with storage.object_aside(ON_S3 / inside) as aside:
                    aside.write_bytes(file.read_bytes())
        yield folder / "tiles.lance", weed


def forget(folder: Path) -> None:
    """Drop what the system keeps of the files below a folder."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def read_all(order: Order, seed: int, *, epochs: int = 1, ranks: int = 1) -> tuple[int, float]:
    """Tiles that the first of the ranks reads in whole epochs, BATCH a step, and the seconds that it took."""
    store = TileStore(ON_S3)
    loader = Loader(
        store, rows=np.arange(len(store)), batch_size=ranks * BATCH, seed=seed,
        steps=epochs * len(store) // (ranks * BATCH), share=slice(0, BATCH), order=order,
    )  # fmt: skip
    started = time.perf_counter()
    count = sum(len(batch.rows) for batch in loader)
    return count, time.perf_counter() - started


def reading(weed: Path, rounds: int) -> None:
    orders: tuple[Order, ...] = ("blocks", "shuffled")
    rates: dict[Order, list[float]] = {order: [] for order in orders}
    for seed in range(rounds):
        for order in orders:
            forget(weed)
            count, seconds = read_all(order, seed)
            rates[order].append(count / seconds)
    for order in orders:
        show(f"reading from S3, {order}", rates[order], "tiles/s")
    for order in orders:
        for ranks in (1, 8):
            show(f"requests, {order}, ranks {ranks}", [requests_a_tile(order, ranks)], "GETs a tile")


def requests_a_tile(order: Order, ranks: int) -> float:
    upstream = os.environ["AWS_ENDPOINT_URL"]
    with flaky_s3.before(upstream) as counting:
        os.environ["AWS_ENDPOINT_URL"] = counting.url
        count, _ = read_all(order, 0, epochs=2, ranks=ranks)
        os.environ["AWS_ENDPOINT_URL"] = upstream
        return counting.reads / count


def training(tiles: Path, folder: Path, rounds: int) -> None:
    """Images a second that each run says of itself, both in the same order of tiles."""
    rates: dict[str, list[float]] = {"local": [], "S3": []}
    for number in range(rounds):
        sources = (("local", tiles), ("S3", ON_S3))
        for name, source in sources[:: -1 if number % 2 else 1]:
            run = swath.pretrain(
                source, out=folder / f"{name}-{number}", model="vit_tiny", patch_size=16, steps=STEPS,
                batch_size=16, order="blocks", monitor_every=0,
            )  # fmt: skip
            rates[name].append(run.summary["images_per_s"])
    for name, values in rates.items():
        show(f"training ViT-Ti/16, tiles {name}", values, "images/s")
    lost = [100 * (1 - s3 / local) for s3, local in zip(rates["S3"], rates["local"], strict=True)]
    show("lost by reading from S3, pair by pair", lost, "%")


def sending(rounds: int) -> None:
    for what, words in SENT.items():
        seconds = []
        for _ in range(rounds):
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "swath.cli", "sagemaker", *words], check=True, capture_output=True
            )
            seconds.append(time.perf_counter() - started)
        show(what, seconds, "s")


if __name__ == "__main__":
    main()
