"""Reading and augmenting against those who do it with rasterio and Pillow, in turn, on one core.

    python benchmarks/feeding.py --peer CHECKOUT [--rounds 9]

Reading: tiles a second of a pack, in shuffled batches of 256 through the loader, against three rasterio opens
a patch, files in the cache of the system. Views: the ten of DINO (2 of 224 px, 8 of 96 px) of a tile of
3x120x120 in 8 bits, from stored pixels to standardised tensors, against DataAugmentationDINO of
facebookresearch/dino on Pillow images, in batches of 16. Freed memory is kept, as in training, for both.
"""

import argparse
import tempfile
from itertools import count
from pathlib import Path

import numpy as np
import torch
from peer import Checkout
from PIL import Image
from recipe_tiles import RecipeTiles, make_tiles
from rounds import Race, Work, race

from swath.augment.views import make_views, paper
from swath.data.loader import Loader
from swath.data.normalize import standardize, to_unit
from swath.data.store import TileStore
from swath.runtime.allocator import keep_freed_memory

PATCHES, READ_AT_ONCE = 512, 256
VIEWED, VIEWED_AT_ONCE = 64, 16


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--peer", type=Path, required=True, help="a checkout of facebookresearch/dino")
    arguments.add_argument("--rounds", type=int, default=9)
    asked = arguments.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        tiles = make_tiles(Path(folder), PATCHES)
        reading(tiles, asked.rounds, scaled=False).show("reading 3x120x120, 16 bits", "tiles/s", bar=40)
        reading(tiles, asked.rounds, scaled=True).show("reading and scaling to 8 bits", "tiles/s", bar=40)
        viewing(tiles, asked.rounds, asked.peer).show("ten views of 3x120x120", "tiles/s", bar=6)


def reading(tiles: RecipeTiles, rounds: int, *, scaled: bool) -> Race:
    store = TileStore(tiles.scaled if scaled else tiles.stored)
    read = tiles.files.read_8bit if scaled else tiles.files.read

    def theirs() -> int:
        return len([read(number) for number in range(0, PATCHES, 4)])

    def ours() -> int:
        loader = Loader(store, rows=np.arange(len(store)), batch_size=READ_AT_ONCE, seed=0, steps=40)
        return sum(len(batch.rows) for batch in loader)

    return race(theirs, ours, rounds=rounds)


def viewing(tiles: RecipeTiles, rounds: int, peer: Path) -> Race:
    store = TileStore(tiles.scaled)
    rows = np.arange(VIEWED)
    stored = store.read(rows)
    checkout = Checkout(peer)
    augmentation = checkout.views(checkout.args())
    images = [Image.fromarray(tile) for tile in stored[0].transpose(0, 2, 3, 1)]
    groups = [torch.from_numpy(group.copy()) for group in stored]

    def theirs() -> int:
        return len([augmentation(image) for image in images])

    return race(theirs, our_views(groups, store, rows), rounds=rounds)


def our_views(groups: list[torch.Tensor], store: TileStore, rows: np.ndarray) -> Work:
    epoch = count()

    def ours() -> int:
        epochs = np.full(len(rows), next(epoch))
        for start in range(0, len(rows), VIEWED_AT_ONCE):
            some = slice(start, start + VIEWED_AT_ONCE)
            unit = to_unit([group[some] for group in groups], store.format)
            views = make_views(unit, paper(), seed=0, epochs=epochs[some], sample_ids=rows[some])
            standardize(views.globals_, store.format)
            standardize(views.locals_, store.format)
        return len(rows)

    return ours


if __name__ == "__main__":
    main()
