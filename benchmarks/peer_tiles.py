"""facebookresearch/dino trained on packed tiles by its schedules, where main_dino.py has an ImageFolder."""

import random
import sys
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from peer import Checkout, PeerTraining, Rates
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from swath.data.bands import true_colour
from swath.data.store import TileStore
from swath.models.vit import ViTShape


class TrainTiles(Dataset):
    """Views of the tiles of split train of a pack; of all tiles where the pack has no splits."""

    def __init__(self, store: TileStore, views: Any) -> None:
        groups = store.format.groups
        if len(groups) != 1 or groups[0].dtype != "uint8" or true_colour(store.format.bands) != (0, 1, 2):
            sys.exit(
                f"{store.path} has {','.join(store.format.bands)}; its views take red, green, blue, 8 bit: "
                "swath pack INDEX --bands RED,GREEN,BLUE"
            )
        splits = store.splits()
        self.rows = np.flatnonzero(splits == "train") if splits.astype(bool).any() else np.arange(len(store))
        self.store, self.views = store, views

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, places: list[int]) -> list[list[Tensor]]:
        """Of one batch: the pack is read once for all its tiles."""
        (pixels,) = self.store.read(self.rows[places])  # (B, 3, H, W)
        return [self.views(Image.fromarray(picture)) for picture in pixels.transpose(0, 2, 3, 1)]


class ScheduledTraining(PeerTraining):
    """The same from its seed; `take` is one iteration by its schedules."""

    def __init__(self, checkout: Checkout, args: Namespace, shape: ViTShape, *, epoch_steps: int) -> None:
        checkout.tools.fix_random_seeds(args.seed)
        random.seed(args.seed)  # its blur and solarisation draw from here, and it leaves that unseeded
        super().__init__(checkout, args, shape)
        self.epoch_steps, self.taken = epoch_steps, 0
        cosine = partial(checkout.tools.cosine_scheduler, epochs=args.epochs, niter_per_ep=epoch_steps)
        peak = args.lr * args.batch_size_per_gpu / 256
        self.lr = cosine(peak, args.min_lr, warmup_epochs=args.warmup_epochs)
        self.weight_decay = cosine(args.weight_decay, args.weight_decay_end)
        self.momentum = cosine(args.momentum_teacher, 1)

    @property
    def epoch(self) -> int:
        """Of the next iteration."""
        return self.taken // self.epoch_steps

    def take(self, views: list[Tensor]) -> float:
        """One update from views (B, 3, h, w), the two global ones first; the loss before it."""
        rates = (schedule[self.taken] for schedule in (self.lr, self.weight_decay, self.momentum))
        loss = self.step(views, Rates(*rates), epoch=self.epoch)
        self.taken += 1
        return loss


def batches(tiles: TrainTiles, batch_size: int) -> Iterator[list[Tensor]]:
    """Views of one batch after another, epoch after epoch in a new order, the rest of each epoch dropped;
    made by a worker a thread.
    """
    if len(tiles) < batch_size:
        sys.exit(f"{len(tiles)} training tiles make no batch of {batch_size}; give --batch_size_per_gpu")
    workers = torch.get_num_threads()
    loader = DataLoader(
        tiles, batch_size=batch_size, shuffle=True, drop_last=True, num_workers=workers,
        multiprocessing_context="spawn", persistent_workers=True,
    )  # fmt: skip
    while True:
        yield from loader
