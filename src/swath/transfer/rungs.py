"""The rungs of a ladder, from image statistics to pretrained networks, and where their features are kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch

from swath.config import LadderConfig
from swath.data.store import TileStore
from swath.errors import UsageError
from swath.features.backbone import FrozenBackbone, Weights, open_backbone, untrained
from swath.features.content import Content
from swath.features.embedding import holds
from swath.features.table import FeatureMaker, Origin
from swath.features.unseen import check_unseen
from swath.models.vit import VisionTransformer, shape_of
from swath.runtime.run import Run
from swath.transfer.baselines import IMAGE_STATISTICS, RANDOM_CONVOLUTIONS, UNTRAINED, ImageStatistics
from swath.transfer.examples import Examples
from swath.transfer.photographs import photographic
from swath.transfer.random_convolutions import RandomConvolutions

_SMALL_TILE_PX = 96  # below it patches of 8, so that there are tokens to look at


@dataclass(frozen=True, eq=False)
class Rung:
    """`kind` is "baseline", "weights" or "run"; `path` is where its features are kept."""

    name: str
    kind: str
    maker: FeatureMaker
    path: Path


def rungs(
    config: LadderConfig, store: TileStore, examples: Examples, *, runs: tuple[Path, ...], out: Path
) -> Iterator[Rung]:
    """Every rung in order; tiles that do not fit one are refused before anything is written.

    Raises:
        UsageError: a run is named twice or is none, or --other-data changes nothing.
        DataError: the tiles do not fit a run, or weights are damaged or of another kind.
    """
    given = _given_weights(config, out)
    trained = _runs(config, runs, store, out)
    for rung in (*given, *trained):
        rung.maker.check_fits(store.format, where=str(store.path))
    return chain(_baselines([*trained, *given], config, store, examples, out), given, trained)


def _baselines(
    networks: list[Rung], config: LadderConfig, store: TileStore, examples: Examples, out: Path
) -> Iterator[Rung]:
    yield Rung(
        IMAGE_STATISTICS, "baseline", ImageStatistics(store.format), out / "features-statistics.parquet"
    )
    filters = RandomConvolutions(store, examples.rows[examples.train], seed=config.seed)
    yield Rung(RANDOM_CONVOLUTIONS, "baseline", filters, out / "features-convolutions.parquet")
    yield from _untrained(networks, config, store, out)


def _runs(config: LadderConfig, runs: tuple[Path, ...], store: TileStore, out: Path) -> list[Rung]:
    _check_named_once(runs)
    content = Content(config.features, config.blocks)
    found = []
    changed = False
    for path in runs:
        run = Run.open(path)
        backbone = open_backbone(run, content=content)
        if config.other_data and not backbone.is_scaled_alike(store.format):
            backbone, changed = backbone.for_other_data(store.format, where=str(store.path)), True
        check_unseen(run, backbone, store)
        # The run's own features lie in its folder; those of other tiles must not take their place.
        own, name = path / f"features{backbone.file_tag}.parquet", path.resolve().name
        kept = own if holds(own, Origin.of(backbone, store)) else out / f"features-{name}.parquet"
        found.append(Rung(name, "run", backbone, kept))
    if config.other_data and not changed:
        raise UsageError(
            "--other-data changes nothing: every run has the statistics of these tiles; leave it out"
        )
    return found


def _check_named_once(paths: tuple[Path, ...]) -> None:
    names = [path.resolve().name for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f'two rungs would be called "{twice[0]}"; rename a folder or a file, or name it once'
        )


def _given_weights(config: LadderConfig, out: Path) -> list[Rung]:
    _check_named_once(config.weights)
    content = Content(config.features, config.blocks)
    return [
        Rung(path.stem, "weights", photographic(path, content=content), out / f"features-{path.stem}.parquet")
        for path in config.weights
    ]


def _untrained(networks: list[Rung], config: LadderConfig, store: TileStore, out: Path) -> Iterator[Rung]:
    """One for each shape of network and each way to see pixels; the first is the one to compare with."""
    seen: set[str] = set()
    backbones = [(rung.name, rung.maker) for rung in networks] or [("", _usual_network(config, store))]
    for name, backbone in backbones:
        assert isinstance(backbone, FrozenBackbone)
        fresh = untrained(backbone, seed=config.seed)
        if fresh.weights.checkpoint not in seen:
            title = f"{UNTRAINED} like {name}" if seen else UNTRAINED
            file = f"features-untrained-{fresh.weights.checkpoint[:12]}.parquet"
            seen.add(fresh.weights.checkpoint)
            yield Rung(title, "baseline", fresh, out / file)


def _usual_network(config: LadderConfig, store: TileStore) -> FrozenBackbone:
    """ViT-S at the size of the tiles, where no run or weights say another shape."""
    patch = 8 if store.format.size_px < _SMALL_TILE_PX else 16
    side = max(1, store.format.size_px // patch) * patch
    shape = shape_of("vit_small", patch, in_channels=len(store.format.bands), image_px=side)
    network = VisionTransformer(shape, generator=torch.Generator().manual_seed(config.seed))
    content = Content(config.features, config.blocks)
    return FrozenBackbone(network, store.format, Weights("none", 0, "untrained"), content=content)
