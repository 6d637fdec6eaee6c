"""Speed of the parts that training waits for, on synthetic tiles.

    python benchmarks/speed.py

Each figure is the median of five rounds; run it on an idle machine. One thread, unless it says otherwise.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from noise import packed_noise

from swath.augment.views import make_views, overhead
from swath.data.loader import Loader
from swath.data.store import TileStore
from swath.models.vit import VisionTransformer, shape_of

ROUNDS = 5


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = packed_noise(Path(folder), side_px=8192, tile_px=64)
        show("loader, 3x64x64 uint8, batch 256", loader_rate(store), "tiles/s")
    for size_px, bands in ((32, 3), (64, 3), (64, 12), (120, 3)):
        show(
            f"views, 2 global + 4 local of {bands}x{size_px}x{size_px}", views_rate(size_px, bands), "tiles/s"
        )
    show("vit_micro/4 at 32 px, forward + backward", network_rate("vit_micro", 4, 32), "images/s")
    show("vit_tiny/16 at 224 px, forward + backward", network_rate("vit_tiny", 16, 224, batch=8), "images/s")


def show(what: str, rates: list[float], unit: str) -> None:
    print(
        f"{what:48} {statistics.median(rates):10,.0f} {unit}  ({min(rates):,.0f} to {max(rates):,.0f})",
        flush=True,
    )


def loader_rate(store: TileStore) -> list[float]:
    rows = np.arange(len(store))
    loader = Loader(store, rows=rows, batch_size=256, seed=0, steps=64)
    return rounds(lambda: sum(len(batch.rows) for batch in loader))


def views_rate(size_px: int, bands: int) -> list[float]:
    tiles = torch.rand(64, bands, size_px, size_px)
    policy = overhead(global_px=size_px // 8 * 8, local_px=max(8, size_px // 2 // 8 * 8), local_views=4)
    ids = np.arange(64)

    def make() -> int:
        for epoch in range(4):
            make_views(tiles, policy, seed=0, epochs=np.full(64, epoch), sample_ids=ids)
        return 4 * 64

    return rounds(make)


def network_rate(name: str, patch_size: int, image_px: int, *, batch: int = 64) -> list[float]:
    network = VisionTransformer(shape_of(name, patch_size, in_channels=3, image_px=image_px))
    images = torch.rand(batch, 3, image_px, image_px)

    def step() -> int:
        network(images).square().mean().backward()
        return batch

    return rounds(step)


def rounds(work: Callable[[], int]) -> list[float]:
    """Things a second, after one round to warm up."""
    work()
    rates = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - started))
    return rates


if __name__ == "__main__":
    main()
