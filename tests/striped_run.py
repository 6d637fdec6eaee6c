"""A small pack of striped tiles and a run with an untrained network, made without any other stage."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from striped_tiles import FORMAT, SHAPE, VOCABULARY, columns_of, pixels_of, truths

from swath.data.bands import TileFormat
from swath.data.store import TileStore
from swath.data.writer import TileWriter
from swath.models.vit import VisionTransformer
from swath.runtime.checkpoint import save_checkpoint
from swath.runtime.device import Precision
from swath.runtime.run import Run

PackMaker = Callable[..., TileStore]


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features in float32, as the oracles compute them."""
    exact = Precision(torch.float32, "test")
    monkeypatch.setattr("swath.features.backbone.choose_precision", lambda *_: exact)


@pytest.fixture
def make_pack(tmp_path: Path) -> PackMaker:
    """A function that writes tiles and opens them; `splits` repeats, with `blocks` six tiles at a time."""

    def make(
        name: str = "tiles.lance",
        *,
        count: int = 240,
        task: str = "multilabel",
        splits: tuple[str, ...] = ("train", "train", "val", "test", "test", "gap"),
        blocks: bool = True,
        tile_format: TileFormat = FORMAT,
        seed: int = 0,
        located: bool = True,
        permuted: bool = False,
        doubled: bool = False,
    ) -> TileStore:
        rng = np.random.default_rng(seed)
        labels = truths(count, rng)
        shown = labels[rng.permutation(count)] if permuted else labels
        named = [splits[i // 6 % len(splits)] if blocks else splits[i % len(splits)] for i in range(count)]
        with TileWriter(tmp_path / name, groups=tile_format.groups, info={}) as writer:
            pixels = [
                p.astype(g.dtype) for p, g in zip(pixels_of(labels, rng), tile_format.groups, strict=True)
            ]
            columns = columns_of(shown, task=task, splits=named, blocks=blocks)
            if doubled:
                columns = columns.set_column(0, "id", pa.array(["t", *columns["id"].to_pylist()[1:-1], "t"]))
            writer.append(columns if located else columns.drop_columns("geometry"), pixels)
            writer.finish(tile_format, vocabulary=VOCABULARY, task=task, index_digest="feed")
        return TileStore(tmp_path / name)

    return make


RunMaker = Callable[..., Run]


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    """A function that makes a run with a checkpoint, or adds one to it; the teacher is drawn from `seed`, and
    says that it learned from a pack, if one is given.
    """

    def make(
        name: str = "run", *, step: int = 10, seed: int = 5, learned_from: TileStore | None = None
    ) -> Run:
        path, split, resolved = tmp_path / name, None, {"recipe": {"method": "dino"}}
        if learned_from:
            split = learned_from.split_digest
            resolved |= {"tiles": str(learned_from.path), "asked": {"pack": learned_from.digest}}
        run = Run.open(path) if path.exists() else Run.create(path, resolved, command="test")
        tensors = {}
        for whose, offset in (("teacher", 0), ("student", 1)):
            network = VisionTransformer(SHAPE, generator=torch.Generator().manual_seed(seed + offset))
            tensors[whose] = {f"backbone.{key}": value * 1.5 for key, value in network.state_dict().items()}
            tensors[whose]["head.last_layer.weight_v"] = torch.ones(3, 2)
        state = {"step": step, "vit": SHAPE.to_json(), "tiles": FORMAT.to_json(), "split_digest": split}
        save_checkpoint(run.checkpoints, step=step, tensors=tensors, state=state)
        return run

    return make
