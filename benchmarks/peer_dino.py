"""A checkout of facebookresearch/dino (commit 7c446df), trained through its own modules on packed tiles.

Networks, views, loss, schedules, clipping and groups of parameters are the checkout's. Written here is what
its main_dino.py ties to ImageFolder and CUDA: where pictures come from, and the order of one step. CPU,
float32, one process. Its code is imported from the path that is given; nothing of it is part of this project.
"""

import importlib
import math
import random
import sys
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Dataset

from swath.data.bands import true_colour
from swath.data.store import TileStore
from swath.models.vit import ViTShape

# Flags of main_dino.py that nothing here reads: they are refused, not ignored.
WITHOUT_EFFECT = (
    "--arch", "--use_bn_in_head", "--use_fp16", "--optimizer", "--data_path", "--output_dir",
    "--saveckp_freq", "--num_workers", "--dist_url", "--local_rank",
)  # fmt: skip


class Checkout:
    """The modules of a checkout, and its command line without the look at torch.hub that needs a network."""

    def __init__(self, path: Path) -> None:
        if not (path / "main_dino.py").is_file():
            sys.exit(
                f"{path} has no main_dino.py; give --peer the folder of a clone of facebookresearch/dino"
            )
        sys.path.insert(0, str(path))
        self.main: ModuleType = importlib.import_module("main_dino")
        self.networks: ModuleType = importlib.import_module("vision_transformer")
        self.tools: ModuleType = importlib.import_module("utils")

    def args(self, words: list[str]) -> Namespace:
        """Its settings, its defaults but for patch 8 and float32; exits on a flag without effect here."""
        idle = [word for word in words if word.split("=")[0] in WITHOUT_EFFECT]
        if idle:
            sys.exit(f"{', '.join(idle)} would change nothing here; leave it out")
        with mock.patch("torch.hub.list", return_value=[]):
            parser = ArgumentParser(parents=[self.main.get_args_parser()], add_help=False, allow_abbrev=False)
        parser.set_defaults(patch_size=8, use_fp16=False)
        return parser.parse_args(words)

    def network(self, shape: ViTShape) -> nn.Module:
        """Its VisionTransformer of a shape, as its own vit_small is made."""
        return self.networks.VisionTransformer(
            img_size=[shape.image_px], patch_size=shape.patch_size, in_chans=shape.in_channels,
            embed_dim=shape.width, depth=shape.depth, num_heads=shape.heads, mlp_ratio=shape.mlp_ratio,
            qkv_bias=True, drop_path_rate=shape.drop_path, norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )  # fmt: skip

    def with_head(self, shape: ViTShape, out_dim: int, *, norm_last_layer: bool = True) -> nn.Module:
        """A network and its DINOHead under its MultiCropWrapper."""
        with warnings.catch_warnings():  # the head uses torch's older weight_norm
            warnings.simplefilter("ignore", FutureWarning)
            head = self.networks.DINOHead(shape.width, out_dim, norm_last_layer=norm_last_layer)
        return self.tools.MultiCropWrapper(self.network(shape), head)

    def views(self, args: Namespace, *, global_px: int, local_px: int) -> Any:
        """Its DataAugmentationDINO with the sides of the crops replaced."""
        made = self.main.DataAugmentationDINO(
            args.global_crops_scale, args.local_crops_scale, args.local_crops_number
        )
        for pipeline, side_px in (
            (made.global_transfo1, global_px),
            (made.global_transfo2, global_px),
            (made.local_transfo, local_px),
        ):
            pipeline.transforms[0].size = (side_px, side_px)
        return made


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


class PeerTraining:
    """Student, teacher, centre and AdamW of the checkout; `step` is one iteration of its train_one_epoch."""

    def __init__(self, checkout: Checkout, args: Namespace, shape: ViTShape, *, epoch_steps: int) -> None:
        tools = checkout.tools
        tools.fix_random_seeds(args.seed)
        random.seed(args.seed)  # its blur and solarisation draw from here, and it leaves that unseeded
        if not distributed.is_initialized():  # its loss asks for a group of processes
            distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
        self.tools, self.args, self.epoch_steps, self.taken = tools, args, epoch_steps, 0
        student = checkout.with_head(shape, args.out_dim, norm_last_layer=args.norm_last_layer)
        self.teacher = checkout.with_head(replace(shape, drop_path=0.0), args.out_dim)
        self.student = nn.parallel.DistributedDataParallel(student)
        self.teacher.load_state_dict(student.state_dict())
        self.teacher.requires_grad_(requires_grad=False)
        self.loss = checkout.main.DINOLoss(
            args.out_dim, args.local_crops_number + 2, args.warmup_teacher_temp, args.teacher_temp,
            args.warmup_teacher_temp_epochs, args.epochs,
        )  # fmt: skip
        self.optimizer = torch.optim.AdamW(tools.get_params_groups(self.student))
        cosine = partial(tools.cosine_scheduler, epochs=args.epochs, niter_per_ep=epoch_steps)
        peak = args.lr * args.batch_size_per_gpu / 256
        self.lr = cosine(peak, args.min_lr, warmup_epochs=args.warmup_epochs)
        self.weight_decay = cosine(args.weight_decay, args.weight_decay_end)
        self.momentum = cosine(args.momentum_teacher, 1)

    def step(self, images: list[Tensor]) -> float:
        """One update from views (B, 3, h, w), the two global ones first; the loss before it."""
        iteration, epoch = self.taken, self.taken // self.epoch_steps
        decayed, kept = self.optimizer.param_groups
        decayed["lr"] = kept["lr"] = self.lr[iteration]
        decayed["weight_decay"] = self.weight_decay[iteration]
        wanted = self.teacher(images[:2])
        loss = self.loss(self.student(images), wanted, epoch)
        value = loss.item()
        if not math.isfinite(value):
            sys.exit(f"the loss is {value} at step {iteration}; its training stops here too")
        self.optimizer.zero_grad()
        loss.backward()
        if self.args.clip_grad:
            self.tools.clip_gradients(self.student, self.args.clip_grad)
        self.tools.cancel_gradients_last_layer(epoch, self.student, self.args.freeze_last_layer)
        self.optimizer.step()
        self._average(self.momentum[iteration])
        self.taken += 1
        return value

    @torch.no_grad()
    def _average(self, momentum: float) -> None:
        pairs = zip(self.student.module.parameters(), self.teacher.parameters(), strict=True)
        for learned, averaged in pairs:
            averaged.mul_(momentum).add_((1 - momentum) * learned)

    def save(self, path: Path) -> None:
        """The parts of its checkpoint.pth, at the end of an epoch."""
        torch.save(
            {
                "student": self.student.state_dict(), "teacher": self.teacher.state_dict(),
                "optimizer": self.optimizer.state_dict(), "epoch": self.taken // self.epoch_steps,
                "args": self.args, "dino_loss": self.loss.state_dict(),
            },
            path,
        )  # fmt: skip


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
