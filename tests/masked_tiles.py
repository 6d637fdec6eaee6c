"""Tiles whose left or right part is rough ground, as their masks say; texture alone tells it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from swath.data.bands import BandGroup, TileFormat
from swath.data.masks import IGNORE
from swath.data.store import TileStore
from swath.data.writer import TileWriter
from swath.models.vit import VisionTransformer, ViTShape
from swath.runtime.checkpoint import save_checkpoint
from swath.runtime.run import Run

NAMES = ("smooth", "rough", "nowhere")
WINDOW_PX = 16
SHAPE = ViTShape(width=32, depth=2, heads=2, patch_size=4, in_channels=3, image_px=WINDOW_PX)


def tile_format(size_px: int) -> TileFormat:
    return TileFormat(
        bands=("B04", "B03", "B02"),
        groups=(BandGroup(("B04", "B03", "B02"), size_px, "uint8"),),
        gsd_m=1.0,
        low=(0.0,) * 3,
        high=(255.0,) * 3,
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
    )


def make_pack(
    path: Path,
    *,
    size_px: int = WINDOW_PX,
    count: int = 60,
    splits: tuple[str, ...] = ("train", "train", "val", "test"),
    shuffled: bool = False,
    labels: bool = False,
) -> TileStore:
    """`shuffled` masks say nothing about the pixels."""
    rng = np.random.default_rng(0)
    edges = rng.integers(4, size_px - 3, count)
    masks = (np.arange(size_px)[None, None, :] >= edges[:, None, None]).astype(np.uint8)
    masks = np.broadcast_to(masks, (count, size_px, size_px)).copy()
    noise = rng.normal(0, 1, (count, 3, size_px, size_px)) * np.where(masks == 1, 60, 8)[:, None]
    pixels = (128 + noise).clip(0, 255).astype(np.uint8)
    if shuffled:
        masks = rng.permutation(masks.ravel()).reshape(masks.shape)
    masks[:, 0, 0] = IGNORE
    columns = pa.table(
        {
            "id": [f"t{i}" for i in range(count)],
            "split": [splits[i % len(splits)] for i in range(count)],
            "labels": pa.array(
                [["left" if edge < size_px / 2 else "right"] if labels else None for edge in edges],
                pa.list_(pa.string()),
            ),
        }
    )
    given = tile_format(size_px)
    with TileWriter(path, groups=given.groups, info={}) as writer:
        writer.append(columns, [pixels], masks)
        writer.finish(
            given,
            vocabulary=("left", "right") if labels else (),
            task="class" if labels else None,
            mask_vocabulary=NAMES,
        )
    return TileStore(path)


def make_run(path: Path) -> Run:
    run = Run.create(path, {"recipe": {"method": "dino"}}, command="test")
    network = VisionTransformer(SHAPE, generator=torch.Generator().manual_seed(3))
    tensors = {"teacher": {f"backbone.{name}": value * 1.5 for name, value in network.state_dict().items()}}
    state = {"step": 1, "vit": SHAPE.to_json(), "tiles": tile_format(WINDOW_PX).to_json()}
    save_checkpoint(run.checkpoints, step=1, tensors=tensors, state=state)
    return run
