"""Fitting a dense head on frozen tokens: a linear one to convergence, a convolutional one by steps.

Legend: B windows, D numbers a token, n tokens a side, W pixels a side, K classes.
"""

import copy
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from swath.data.masks import IGNORE
from swath.errors import DataError
from swath.features.token_maps import TokenMaps
from swath.features.windows import Windows
from swath.models.dense_head import ConvDenseHead, DenseHead, LinearDenseHead, enlarged, pixel_loss
from swath.scores.average_precision import once
from swath.scores.logistic import LogisticProbe, fit_logistic
from swath.scores.segmentation import SegmentationTable, confusions
from swath.scores.strength import FOLDS, choose_strength, folds
from swath.transfer.segmentation.examples import MaskedTiles, Rows

MOST_TOKENS = 100_000  # of the linear head: chosen at random, 150 MB of 384 numbers each
MOST_MAP_BYTES = 2**31  # of the convolutional head, as float16
EPOCHS, BATCH, PEAK_LR = 30, 16, 1e-3

log = logging.getLogger(__name__)
Array = npt.NDArray[np.float32]


def fit_head(
    kind: str, maps: TokenMaps, tiles: MaskedTiles, *, seed: int
) -> tuple[DenseHead, dict[str, Any]]:
    """The head and how it was set; `kind` is linear or conv. Nothing of the split test is read.

    Raises:
        DataError: the training masks hold one class only.
    """
    return _linear(maps, tiles, seed=seed) if kind == "linear" else _conv(maps, tiles, seed=seed)


def _linear(maps: TokenMaps, tiles: MaskedTiles, *, seed: int) -> tuple[DenseHead, dict[str, Any]]:
    """Logistic regression of the class that most pixels of a token's cell have; strength chosen as in
    `probe`.
    """
    rows = np.concatenate([tiles.train, tiles.val])
    tokens, classes, owners = _labelled_tokens(maps, tiles, rows, seed=seed)
    labels = np.eye(len(tiles.vocabulary), dtype=np.uint8)[classes]
    train = np.flatnonzero(owners < len(tiles.train))
    held = np.flatnonzero(owners >= len(tiles.train))
    if len(np.unique(classes[train])) < 2:
        raise DataError("the training masks hold one class only; a probe needs two to tell apart.")
    if len(held):
        parts, chosen_on = [(train, held)], "val"
    else:
        by, groups = tiles.groups(tiles.train, at_least=FOLDS)
        parts = [(train[rest], train[fold]) for rest, fold in folds(groups[owners[train]], seed=seed)]
        chosen_on = f"{FOLDS}-fold cross-validation in train, folds by {by}"
    choice = choose_strength(tokens, labels, task="class", parts=parts)
    probe = fit_logistic(tokens[train], labels[train], strength=choice.strength, task="class")
    settings = {"head": "linear", "tokens": len(train), "strength": choice.strength, "chosen_on": chosen_on}
    return _as_head(probe), settings


def _labelled_tokens(
    maps: TokenMaps, tiles: MaskedTiles, rows: Rows, *, seed: int
) -> tuple[Array, npt.NDArray[np.int64], Rows]:
    """Tokens (M, D), the class of each, and the place in `rows` of its tile; at most MOST_TOKENS."""
    windows = Windows.over(tiles.store.format.size_px, maps.window_px, overlap=0.0)
    place = {int(row): i for i, row in enumerate(rows)}
    share = _share_kept(maps, tiles, rows, windows)
    generator = np.random.default_rng(seed)
    tokens, classes, owners = [], [], []
    for part, images, masks in tiles.batches(rows):
        owner = np.asarray([place[int(row)] for row in part])
        for (_, _, window), (_, _, mask) in zip(windows.cut(images), windows.cut(masks), strict=True):
            found = maps(window)  # (B, D, n, n)
            majority = majority_classes(mask, found.shape[-1], num_classes=len(tiles.vocabulary))
            kept = (majority != IGNORE).numpy() & (generator.random(majority.shape) < share)
            tokens.append(found.permute(0, 2, 3, 1).numpy()[kept])
            classes.append(majority.numpy()[kept].astype(np.int64))
            owners.append(np.broadcast_to(owner[:, None, None], kept.shape)[kept])
    return np.concatenate(tokens), np.concatenate(classes), np.concatenate(owners)


def _share_kept(maps: TokenMaps, tiles: MaskedTiles, rows: Rows, windows: Windows) -> float:
    _, images, _ = next(tiles.batches(rows[:1]))
    total = len(rows) * len(windows) * maps(next(windows.cut(images))[2]).shape[-1] ** 2
    if total > MOST_TOKENS:
        log.info(f"{total:,} tokens: the linear head is fitted on {MOST_TOKENS:,} of them, drawn at random")
    return min(1.0, MOST_TOKENS / total)


def majority_classes(masks: Tensor, side: int, *, num_classes: int) -> Tensor:
    """(B, n, n) class with the most pixels of each cell of (B, W, W) masks; IGNORE where no pixel has one.

    W need not be a multiple of n: pixels are counted by area (adaptive pooling).
    """
    hot = torch.stack([masks == k for k in range(num_classes)], dim=1).float()  # (B, K, W, W)
    shares = F.adaptive_avg_pool2d(hot, side)
    most, found = shares.max(dim=1)
    return torch.where(most > 0, found, IGNORE).to(torch.uint8)


def _as_head(probe: LogisticProbe) -> LinearDenseHead:
    """The same decisions, without the standardisation."""
    scaled = probe.weights / probe.std[:, None]
    head = LinearDenseHead(*probe.weights.shape)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(scaled.T))
        head.bias.copy_(torch.from_numpy(probe.bias - probe.mean @ scaled))
    return head


def _conv(maps: TokenMaps, tiles: MaskedTiles, *, seed: int) -> tuple[DenseHead, dict[str, Any]]:
    """AdamW with a warm-up and a cosine; where there are val tiles, the epoch with the best mIoU there."""
    tokens, masks = _maps(maps, tiles, tiles.train, seed=seed)
    head = _fresh_head(tokens, len(tiles.vocabulary), seed=seed)
    held = _maps(maps, tiles, tiles.val, seed=seed) if len(tiles.val) else None
    best, best_score, best_epoch = None, -1.0, EPOCHS
    for epoch, _ in enumerate(_epochs(head, tokens, masks, seed=seed), 1):
        if held is not None and (score := _miou(head, *held, num_classes=len(tiles.vocabulary))) > best_score:
            best, best_score, best_epoch = copy.deepcopy(head), score, epoch
    settings: dict[str, Any] = {"head": "conv", "epochs": EPOCHS, "windows": len(tokens)}
    chosen = {"chosen_on": "val", "epoch": best_epoch} if held is not None else {"chosen_on": "last epoch"}
    return best or head, settings | chosen


def _fresh_head(tokens: Tensor, num_classes: int, *, seed: int) -> ConvDenseHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = ConvDenseHead(tokens.shape[1], num_classes)
    sample = tokens[:256].float()
    head.mean.copy_(sample.mean(dim=(0, 2, 3)))
    head.std.copy_(sample.std(dim=(0, 2, 3)).clamp(min=1e-6))
    return head


def _epochs(head: ConvDenseHead, tokens: Tensor, masks: Tensor, *, seed: int) -> Iterator[None]:
    steps = EPOCHS * -(-len(tokens) // BATCH)
    optimizer = torch.optim.AdamW(head.parameters(), lr=PEAK_LR, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for part in torch.split(torch.randperm(len(tokens), generator=generator), BATCH):
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(pixel_loss(head(tokens[part].float()), masks[part], ignore=IGNORE))
            optimizer.step()
            schedule.step()
        yield


def _maps(maps: TokenMaps, tiles: MaskedTiles, rows: Rows, *, seed: int) -> tuple[Tensor, Tensor]:
    """Token maps (B, D, n, n) float16 and masks (B, W, W) of the windows of `rows`, as many as fit."""
    windows = Windows.over(tiles.store.format.size_px, maps.window_px, overlap=0.0)
    tokens: list[Tensor] = []
    masks: list[Tensor] = []
    held = 0
    for _, images, truth in tiles.batches(np.random.default_rng(seed).permutation(rows)):
        for (_, _, window), (_, _, mask) in zip(windows.cut(images), windows.cut(truth), strict=True):
            tokens.append(maps(window).half())
            masks.append(mask.clone())
            held += tokens[-1].nbytes
        if held > MOST_MAP_BYTES:
            log.info(f"the convolutional head learns from {sum(map(len, tokens)):,} windows: more do not fit")
            break
    return torch.cat(tokens), torch.cat(masks)


@torch.no_grad()
def _miou(head: ConvDenseHead, tokens: Tensor, masks: Tensor, *, num_classes: int) -> float:
    tables = []
    for start in range(0, len(tokens), BATCH):
        truth = masks[start : start + BATCH]
        logits = enlarged(head(tokens[start : start + BATCH].float()), truth.shape[-1])
        found = logits.argmax(dim=1).to(torch.uint8).numpy()
        tables.append(confusions(found, truth.numpy(), num_classes=num_classes, ignore=IGNORE))
    table = SegmentationTable(np.concatenate(tables))
    return float(table.statistics(once(len(masks)))[0, 0])
