"""Train facebookresearch/dino on packed tiles, so that `swath import` and `swath probe` score it beside ours.

    python benchmarks/peer_run.py --peer CHECKOUT --tiles tiles.lance --out FOLDER --minutes 10 \
        --out_dim 2048 --batch_size_per_gpu 128
    swath import FOLDER/checkpoint.pth --out RUN --tiles tiles.lance
    swath probe RUN tiles.lance

CHECKOUT is a clone at commit 7c446df. Flags with underscores are those of its main_dino.py, with its defaults
(patch_size 8). Its epochs are shares of the steps here: warm-up for 10 of 100 epochs is a tenth of the steps,
however short the training. Only tiles of split train are read. Threads are those of OMP_NUM_THREADS.
"""

import argparse
import math
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import torch
from peer import Checkout
from peer_tiles import ScheduledTraining, TrainTiles, batches
from torch import Tensor

from swath.data.store import TileStore
from swath.models.vit import ViTShape

TRIAL_STEPS, LOG_EVERY_S = 20, 10.0
# Flags of main_dino.py that nothing here reads: they are refused, not ignored.
WITHOUT_EFFECT = (
    "--arch", "--use_bn_in_head", "--use_fp16", "--optimizer", "--data_path", "--output_dir",
    "--saveckp_freq", "--num_workers", "--dist_url", "--local_rank",
)  # fmt: skip


def main() -> None:
    asked, words = parser().parse_known_args()
    checkout, store = Checkout(asked.peer), TileStore(asked.tiles)
    args = settings(checkout, words)
    side_px, patch = store.format.size_px, args.patch_size
    shape = ViTShape(
        asked.embed_dim, asked.depth, asked.heads, patch, 3, side_px, drop_path=args.drop_path_rate,
        position="dino",
    )  # fmt: skip
    local_px = asked.local_px or patch * max(1, round(side_px * 96 / 224 / patch))
    views = checkout.views(args, global_px=asked.global_px or side_px, local_px=local_px)
    stream = batches(TrainTiles(store, views), args.batch_size_per_gpu)
    print(f"views: 2 x {asked.global_px or side_px} px, {args.local_crops_number} x {local_px} px")
    steps = asked.steps or steps_that_fit(checkout, args, shape, stream, minutes=asked.minutes)
    training = ScheduledTraining(checkout, in_steps(args, steps), shape, epoch_steps=1)
    asked.out.mkdir(parents=True, exist_ok=True)
    train(training, stream, steps=steps)
    training.save(asked.out / "checkpoint.pth", epoch=training.epoch)
    print(f"swath import {asked.out / 'checkpoint.pth'} --out RUN --tiles {asked.tiles}")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("--peer", type=Path, required=True, help="a clone of facebookresearch/dino")
    made.add_argument("--tiles", required=True, help="a pack of red, green, blue, 8 bit")
    made.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pth")
    length = made.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--minutes", type=float, help="as many steps as fit, by a rate measured first")
    made.add_argument("--embed-dim", type=int, default=128)
    made.add_argument("--depth", type=int, default=4)
    made.add_argument("--heads", type=int, default=2)
    made.add_argument("--global-px", type=int, help="side of the global views; that of the tiles")
    made.add_argument("--local-px", type=int, help="side of the local views; 96/224 of the tiles'")
    return made


def settings(checkout: Checkout, words: list[str]) -> Namespace:
    """Its settings, its defaults but for patch 8; exits on a flag without effect here."""
    idle = [word for word in words if word.split("=")[0] in WITHOUT_EFFECT]
    if idle:
        sys.exit(f"{', '.join(idle)} would change nothing here; leave it out")
    return checkout.args(words, patch_size=8)


def in_steps(args: Namespace, steps: int) -> Namespace:
    """The same with an epoch of one step, and spans of epochs at their shares of the training."""
    spans = {
        name: math.ceil(steps * getattr(args, name) / args.epochs)
        for name in ("warmup_epochs", "warmup_teacher_temp_epochs", "freeze_last_layer")
    }
    return Namespace(**{**vars(args), **spans, "epochs": steps})


def steps_that_fit(
    checkout: Checkout, args: Namespace, shape: ViTShape, stream: Iterator[list[Tensor]], *, minutes: float
) -> int:
    """By the steps of a training that is thrown away; its time is part of the minutes. The first half of them
    still waits for the workers that make views.
    """
    started = time.perf_counter()
    trial = ScheduledTraining(checkout, in_steps(args, TRIAL_STEPS), shape, epoch_steps=1)
    seconds = []
    for _ in range(TRIAL_STEPS):
        before = time.perf_counter()
        trial.take(next(stream))
        seconds.append(time.perf_counter() - before)
    left_s = 60 * minutes - (time.perf_counter() - started)
    return max(1, int(left_s / statistics.median(seconds[TRIAL_STEPS // 2 :])))


def train(training: ScheduledTraining, stream: Iterator[list[Tensor]], *, steps: int) -> None:
    """Take the steps, and print images/s and loss on the way and at the end."""
    batch_size = training.args.batch_size_per_gpu
    print(f"{steps} steps of {batch_size}, {torch.get_num_threads()} threads")
    started = printed = time.perf_counter()
    losses: list[float] = []
    for _ in range(steps):
        losses.append(training.take(next(stream)))
        now = time.perf_counter()
        if now - printed >= LOG_EVERY_S or len(losses) == steps:
            rate = batch_size * len(losses) / (now - started)
            recent = statistics.fmean(losses[-20:])
            print(f"step {len(losses):6}/{steps}  {rate:7.1f} images/s  loss {recent:.4f}", flush=True)
            printed = now
    print(f"loss: mean of the last {min(20, steps)} steps; images/s: views, steps and reading together")


if __name__ == "__main__":
    main()
